// The TensorFlow op that launches the epoch kernel. Nothing of CUDA is linked: the driver's library
// is opened at run time, and its few functions are declared here.
#include <dlfcn.h>

#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "functions.h"
#include "settings.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "xla/stream_executor/stream.h"

namespace tfae::gpu {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::errors::Internal;
using tensorflow::errors::InvalidArgument;
using tensorflow::errors::NotFound;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Rows are [N, D], bytes seen as 0 to 1 or floats, seen as (row - center) / width where these are
// [D] and not empty. Parameters are the kernel and the bias of the encoder, then of the decoder;
// slots all of the first kind, then all of the second. The layout is a tfae.kernels.gpu.plan.Plan.
REGISTER_OP("TfaeGpuTrainEpoch")
    .Attr("T: {uint8, float}")
    .Attr("P: int >= 4 = 4")
    .Attr("S: int >= 0")
    .Attr("compute: {'bfloat16', 'float16'}")  // what the products round their inputs to
    .Attr("activation: int")
    .Attr("output_activation: int")
    .Attr("loss: int")
    .Attr("optimizer: int")
    .Attr("constants: list(float)")
    .Attr("clip_norm: float")
    .Attr("batch_size: int >= 1")
    .Attr("cubin: string")  // its path
    .Attr("blocks: int >= 1")
    .Attr("slice: int >= 1")
    .Attr("slices: int >= 1")
    .Attr("padded_hidden: int >= 1")
    .Attr("chunk: int >= 1")
    .Attr("shared_bytes: int >= 1")
    .Attr("offsets: list(int)")  // in shared memory, in the order of Settings
    .Attr("spilled_bytes: int >= 0")
    .Input("rows: T")
    .Input("order: int32")  // [n]
    .Input("center: float")
    .Input("width: float")
    .Input("rates: float")       // [steps]
    .Input("decays: float")      // [steps], or empty
    .Input("loss_scale: float")
    .Input("good_steps: int64")
    .Input("skipped_steps: int64")
    .Input("params: P * float")
    .Input("slots: S * float")
    .Output("new_params: P * float")
    .Output("new_slots: S * float")
    .Output("new_loss_scale: float")
    .Output("new_good_steps: int64")
    .Output("new_skipped_steps: int64")
    .Output("losses: double")  // [blocks], each one's part of the sum
    .SetShapeFn([](InferenceContext* context) -> Status {
      for (const auto& [from, to] : {std::pair("params", "new_params"),
                                     std::pair("slots", "new_slots"),
                                     std::pair("loss_scale", "new_loss_scale"),
                                     std::pair("good_steps", "new_good_steps"),
                                     std::pair("skipped_steps", "new_skipped_steps")}) {
        std::vector<ShapeHandle> shapes;
        TF_RETURN_IF_ERROR(context->input(from, &shapes));
        TF_RETURN_IF_ERROR(context->set_output(to, shapes));
      }
      int blocks;
      TF_RETURN_IF_ERROR(context->GetAttr("blocks", &blocks));
      return context->set_output("losses", {context->Vector(blocks)});
    });

// The CUDA driver. A function gives 0, or the number of an error.
class Driver {
 public:
  static Driver& Get() {
    static Driver* driver = new Driver;
    return *driver;
  }

  Status Load() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fill_) return tensorflow::OkStatus();
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) return NotFound("there is no CUDA driver: ", dlerror());
    const auto find = [library](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    if (find(error_, "cuGetErrorString") && find(context_of_, "cuStreamGetCtx") &&
        find(push_, "cuCtxPushCurrent_v2") && find(pop_, "cuCtxPopCurrent_v2") &&
        find(load_, "cuModuleLoadData") && find(function_, "cuModuleGetFunction") &&
        find(set_, "cuFuncSetAttribute") && find(launch_, "cuLaunchCooperativeKernel") &&
        find(fill_, "cuMemsetD32Async")) {
      return tensorflow::OkStatus();
    }
    return NotFound("the CUDA driver is too old: ", dlerror());
  }

  // Enters a stream's context, for as long as the object lives.
  class Entered {
   public:
    Entered(Driver& driver, void* stream) : driver_(driver) {
      status = driver.Check(driver.context_of_(stream, &context), "cuStreamGetCtx");
      if (status.ok()) status = driver.Check(driver.push_(context), "cuCtxPushCurrent");
      entered_ = status.ok();
    }
    ~Entered() {
      void* context;
      if (entered_) driver_.pop_(&context);
    }
    Status status;
    void* context = nullptr;

   private:
    Driver& driver_;
    bool entered_ = false;
  };

  // A kernel of a cubin in the current context, which may use so much shared memory.
  Status Kernel(void* context, const std::string& cubin, const std::string& name, int shared_bytes,
                void** kernel) {
    const std::lock_guard<std::mutex> lock(mutex_);
    void*& module = modules_[{context, cubin}];
    if (!module) {
      std::ifstream file(cubin, std::ios::binary);
      const std::string code{std::istreambuf_iterator<char>(file), {}};
      if (!file || code.empty()) return NotFound("there is no ", cubin);
      TF_RETURN_IF_ERROR(Check(load_(&module, code.data()), "cuModuleLoadData"));
    }
    TF_RETURN_IF_ERROR(Check(function_(kernel, module, name.c_str()), "cuModuleGetFunction"));
    constexpr int kMaxDynamicSharedBytes = 8;
    return Check(set_(*kernel, kMaxDynamicSharedBytes, shared_bytes), "cuFuncSetAttribute");
  }

  Status Launch(void* kernel, int blocks, int shared_bytes, void* stream,
                const Settings& settings) {
    void* arguments[] = {const_cast<Settings*>(&settings)};
    return Check(launch_(kernel, blocks, 1, 1, kThreads, 1, 1, shared_bytes, stream, arguments),
                 "cuLaunchCooperativeKernel");
  }

  Status Clear(float* numbers, int64_t count, void* stream) {
    return Check(fill_(reinterpret_cast<uint64_t>(numbers), 0, count, stream), "cuMemsetD32Async");
  }

 private:
  Status Check(int code, const char* call) {
    if (code == 0) return tensorflow::OkStatus();
    const char* words = nullptr;
    error_(code, &words);
    return Internal(call, ": ", words ? words : "error", " (", code, ")");
  }

  int (*error_)(int, const char**);
  int (*context_of_)(void*, void**);
  int (*push_)(void*);
  int (*pop_)(void**);
  int (*load_)(void**, const void*);
  int (*function_)(void**, void*, const char*);
  int (*set_)(void*, int, int);
  int (*launch_)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                 void**);
  int (*fill_)(uint64_t, unsigned, size_t, void*) = nullptr;  // the last one to be found
  std::mutex mutex_;
  std::map<std::pair<void*, std::string>, void*> modules_;
};

template <typename T>
class GpuTrainEpoch : public OpKernel {
 public:
  explicit GpuTrainEpoch(OpKernelConstruction* context) : OpKernel(context) {
    std::vector<float> constants;
    std::vector<int> offsets;
    const auto get = [&](const char* name, auto* value) {
      if (context->status().ok()) context->SetStatus(context->GetAttr(name, value));
    };
    get("activation", &settings_.activation);
    get("output_activation", &settings_.output_activation);
    get("loss", &settings_.loss);
    get("optimizer", &settings_.optimizer);
    get("constants", &constants);
    get("clip_norm", &settings_.clip_norm);
    get("batch_size", &settings_.batch);
    get("slice", &settings_.slice);
    get("slices", &settings_.slices);
    get("padded_hidden", &settings_.padded_hidden);
    get("chunk", &settings_.chunk);
    get("offsets", &offsets);
    get("compute", &compute_);
    get("cubin", &cubin_);
    get("blocks", &blocks_);
    get("shared_bytes", &shared_bytes_);
    get("spilled_bytes", &spilled_bytes_);
    if (!context->status().ok()) return;
    OP_REQUIRES(context, offsets.size() == 9 && constants.size() <= 3,
                InvalidArgument("9 offsets and at most 3 constants are needed"));
    const auto is_one = [](int number, auto last) {
      return 0 <= number && number <= static_cast<int>(last);
    };
    OP_REQUIRES(context,
                is_one(settings_.activation, Activation::kLinear) &&
                    is_one(settings_.output_activation, Activation::kLinear) &&
                    is_one(settings_.loss, Loss::kHuber) &&
                    is_one(settings_.optimizer, Optimizer::kSgd),
                InvalidArgument("an unknown activation, loss or optimizer"));
    std::copy(constants.begin(), constants.end(), settings_.constants);
    std::copy(offsets.begin(), offsets.end(), &settings_.at_raw);
    OP_REQUIRES_OK(context, Driver::Get().Load());
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &rows = context->input(0), &order = context->input(1);
    const Tensor &center = context->input(2), &width = context->input(3);
    const Tensor &rates = context->input(4), &decays = context->input(5);
    const Tensor &loss_scale = context->input(6), &good_steps = context->input(7);
    const Tensor& skipped_steps = context->input(8);
    OpInputList params, slots;
    OP_REQUIRES_OK(context, context->input_list("params", &params));
    OP_REQUIRES_OK(context, context->input_list("slots", &slots));
    OP_REQUIRES_OK(context,
                   CheckShapes(rows, order, center, width, rates, decays, params, slots));
    for (const Tensor* tensor : {&loss_scale, &good_steps, &skipped_steps}) {
      OP_REQUIRES(context, tensor->NumElements() == 1,
                  InvalidArgument("the loss scale and its counts must be scalars"));
    }
    Settings settings = settings_;
    settings.rows = rows.data();
    settings.order = order.flat<int32_t>().data();
    settings.center = center.NumElements() ? center.flat<float>().data() : nullptr;
    settings.width = width.NumElements() ? width.flat<float>().data() : nullptr;
    settings.rates = rates.flat<float>().data();
    settings.decays = decays.NumElements() ? decays.flat<float>().data() : nullptr;
    settings.row_count = order.NumElements();
    settings.features = rows.dim_size(1);
    settings.hidden = params[0].dim_size(1);
    settings.slots = slots.size() / kTensors;

    void* stream = context->op_device_context()->stream()->platform_specific_handle().stream;
    Driver& driver = Driver::Get();
    Driver::Entered entered(driver, stream);
    OP_REQUIRES_OK(context, entered.status);
    void* kernel;
    OP_REQUIRES_OK(context, driver.Kernel(entered.context, cubin_, Name(), shared_bytes_, &kernel));

    OpOutputList new_params, new_slots;
    OP_REQUIRES_OK(context, context->output_list("new_params", &new_params));
    OP_REQUIRES_OK(context, context->output_list("new_slots", &new_slots));
    for (int i = 0; i < kTensors + slots.size(); ++i) {
      const bool is_slot = i >= kTensors;
      const int number = is_slot ? i - kTensors : i;
      const Tensor& from = is_slot ? slots[number] : params[number];
      Tensor* to;
      OpOutputList& outputs = is_slot ? new_slots : new_params;
      OP_REQUIRES_OK(context, outputs.allocate(number, from.shape(), &to));
      settings.given[i / kTensors][i % kTensors] = from.flat<float>().data();
      settings.tensors[i / kTensors][i % kTensors] = to->flat<float>().data();
    }
    const auto allocate_like = [&](const char* name, const Tensor& given, const auto** from,
                                   auto** data) {
      Tensor* to;
      TF_RETURN_IF_ERROR(context->allocate_output(name, given.shape(), &to));
      *from = static_cast<std::remove_pointer_t<decltype(from)>>(given.data());
      *data = static_cast<std::remove_pointer_t<decltype(data)>>(to->data());
      return tensorflow::OkStatus();
    };
    OP_REQUIRES_OK(context, allocate_like("new_loss_scale", loss_scale,
                                          &settings.given_loss_scale, &settings.loss_scale));
    OP_REQUIRES_OK(context, allocate_like("new_good_steps", good_steps,
                                          &settings.given_good_steps, &settings.good_steps));
    OP_REQUIRES_OK(context, allocate_like("new_skipped_steps", skipped_steps,
                                          &settings.given_skipped_steps, &settings.skipped_steps));
    Tensor* losses;
    OP_REQUIRES_OK(context, context->allocate_output("losses", {blocks_}, &losses));
    settings.losses = losses->flat<double>().data();

    const int64_t exchanged = static_cast<int64_t>(settings.batch) * settings.padded_hidden;
    std::vector<Tensor> scratch;
    scratch.reserve(5);
    const auto allocate = [&](int64_t floats) -> float* {
      scratch.emplace_back();
      const Status status =
          context->allocate_temp(tensorflow::DT_FLOAT, {floats}, &scratch.back());
      if (!status.ok()) {
        context->SetStatus(status);
        return nullptr;
      }
      return scratch.back().flat<float>().data();
    };
    // What blocks hand to each other, all of it in one piece, has to be 0.
    const int64_t handed = (blocks_ + 1) * exchanged + blocks_;
    settings.partials = allocate(handed);
    settings.exchanged = settings.partials + blocks_ * exchanged;
    settings.squares = settings.exchanged + exchanged;
    settings.hidden_slopes = allocate(exchanged);
    settings.spilled = spilled_bytes_ ? allocate(spilled_bytes_ / sizeof(float)) : nullptr;
    if (!context->status().ok()) return;
    OP_REQUIRES_OK(context, driver.Clear(settings.partials, handed, stream));
    OP_REQUIRES_OK(context, driver.Launch(kernel, blocks_, shared_bytes_, stream, settings));
  }

 private:
  std::string Name() const {
    return "tfae_epoch_" + compute_ + (std::is_same_v<T, float> ? "_float32" : "_uint8");
  }

  Status CheckShapes(const Tensor& rows, const Tensor& order, const Tensor& center,
                     const Tensor& width, const Tensor& rates, const Tensor& decays,
                     const OpInputList& params, const OpInputList& slots) const {
    if (params.size() != kTensors) return InvalidArgument("there must be 4 parameters");
    if (rows.dims() != 2 || order.dims() != 1 || params[0].dims() != 2) {
      return InvalidArgument("rows and kernels must be matrices, and order a vector");
    }
    const int64_t features = rows.dim_size(1), hidden = params[0].dim_size(1);
    const int64_t steps = (order.NumElements() + settings_.batch - 1) / settings_.batch;
    const tensorflow::TensorShape shapes[] = {
        {features, hidden}, {hidden}, {hidden, features}, {features}};
    for (int i = 0; i < kTensors + slots.size(); ++i) {
      const Tensor& tensor = i < kTensors ? params[i] : slots[i - kTensors];
      if (tensor.shape() != shapes[i % kTensors]) {
        return InvalidArgument("parameter ", i, " is ", tensor.shape().DebugString(), ", not ",
                               shapes[i % kTensors].DebugString());
      }
    }
    const int slots_wanted = kTensors * kSlotsOf[settings_.optimizer];
    if (slots.size() != slots_wanted) {
      return InvalidArgument("there are ", slots.size(), " slots, not ", slots_wanted);
    }
    for (const Tensor* tensor : {&center, &width}) {
      if (tensor->NumElements() != 0 && tensor->NumElements() != features) {
        return InvalidArgument("center and width must have a number a feature");
      }
    }
    if (center.NumElements() != width.NumElements()) {
      return InvalidArgument("center and width go together");
    }
    if (rates.NumElements() != steps || (decays.NumElements() && decays.NumElements() != steps)) {
      return InvalidArgument("rates and decays must have a number a step, ", steps);
    }
    if (static_cast<int64_t>(blocks_) * settings_.slices * settings_.slice < features ||
        hidden > settings_.padded_hidden || features * hidden > INT32_MAX) {
      return InvalidArgument("the plan is one of other sizes");
    }
    return tensorflow::OkStatus();
  }

  Settings settings_ = {};
  std::string compute_, cubin_;
  int blocks_ = 0, shared_bytes_ = 0;
  int64_t spilled_bytes_ = 0;
};

REGISTER_KERNEL_BUILDER(
    Name("TfaeGpuTrainEpoch").Device(tensorflow::DEVICE_GPU).TypeConstraint<uint8_t>("T"),
    GpuTrainEpoch<uint8_t>);
REGISTER_KERNEL_BUILDER(
    Name("TfaeGpuTrainEpoch").Device(tensorflow::DEVICE_GPU).TypeConstraint<float>("T"),
    GpuTrainEpoch<float>);

}  // namespace
}  // namespace tfae::gpu

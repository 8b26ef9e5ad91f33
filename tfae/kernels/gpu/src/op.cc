// The TensorFlow op that launches the epoch kernels.
#include <string>
#include <utility>
#include <vector>

#include "driver.h"
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
using tensorflow::Tensor;
using tensorflow::errors::InvalidArgument;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Rows are [N, D], bytes seen as 0 to 1 or floats, seen as (row - center) / width where these are
// [D] and not empty. Parameters are the kernel and the bias of the encoder, then of the decoder;
// slots all of the first kind, then all of the second. The layout is a tfae.kernels.gpu.plan.Plan.
REGISTER_OP("TfaeGpuTrainEpoch")
    .Attr("T: {uint8, float}")
    .Attr("P: int >= 4 = 4")
    .Attr("S: int >= 0")
    .Attr("work: list(int)")  // from features on, in the order of Settings
    .Attr("constants: list(float)")
    .Attr("clip_norm: float")
    .Attr("cubin: string")  // its path; it is compiled for work, sizes and offsets
    .Attr("sizes: list(int) >= 1")  // from blocks on
    .Attr("shared_bytes: int >= 1")
    .Attr("offsets: list(int)")  // in shared memory
    .Attr("handed: list(int)")   // floats of scratch that begins as 0, in the order of kHanded
    .Attr("kept: list(int)")     // of other scratch, in the order of kKept
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
      std::vector<int> sizes;
      TF_RETURN_IF_ERROR(context->GetAttr("sizes", &sizes));
      return context->set_output("losses", {context->Vector(sizes[0])});
    });

// Scratch through which blocks hand each other numbers, and other scratch.
constexpr float* Settings::*kHanded[] = {&Settings::partials, &Settings::exchanged,
                                         &Settings::squares, &Settings::gradients,
                                         &Settings::weights, &Settings::bias_gradients};
constexpr float* Settings::*kKept[] = {&Settings::hidden_slopes, &Settings::spilled};

template <typename T>
class GpuTrainEpoch : public OpKernel {
 public:
  explicit GpuTrainEpoch(OpKernelConstruction* context) : OpKernel(context) {
    std::vector<float> constants;
    std::vector<int> work, sizes, offsets;
    const auto get = [&](const char* name, auto* value) {
      if (context->status().ok()) context->SetStatus(context->GetAttr(name, value));
    };
    get("work", &work);
    get("constants", &constants);
    get("clip_norm", &settings_.clip_norm);
    get("sizes", &sizes);
    get("offsets", &offsets);
    get("cubin", &launch_.cubin);
    get("shared_bytes", &launch_.shared_bytes);
    get("handed", &handed_);
    get("kept", &kept_);
    if (!context->status().ok()) return;
    OP_REQUIRES(context,
                work.size() == &settings_.blocks - &settings_.features &&
                    sizes.size() == &settings_.at_raw - &settings_.blocks &&
                    offsets.size() == &settings_.at_places + 1 - &settings_.at_raw &&
                    handed_.size() == std::size(kHanded) && kept_.size() == std::size(kKept) &&
                    constants.size() <= std::size(settings_.constants),
                InvalidArgument("the plan or the constants are of another version's"));
    std::copy(constants.begin(), constants.end(), settings_.constants);
    std::copy(work.begin(), work.end(), &settings_.features);
    std::copy(sizes.begin(), sizes.end(), &settings_.blocks);
    std::copy(offsets.begin(), offsets.end(), &settings_.at_raw);
    launch_.blocks = settings_.blocks;
    launch_.cluster = settings_.cluster;
    const auto is_one = [](int number, auto last) {
      return 0 <= number && number <= static_cast<int>(last);
    };
    OP_REQUIRES(context,
                is_one(settings_.activation, Activation::kLinear) &&
                    is_one(settings_.output_activation, Activation::kLinear) &&
                    is_one(settings_.loss, Loss::kHuber) &&
                    is_one(settings_.optimizer, Optimizer::kSgd) && settings_.batch > 0,
                InvalidArgument("an unknown activation, loss or optimizer, or no batch"));
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

    void* stream = context->op_device_context()->stream()->platform_specific_handle().stream;
    Driver& driver = Driver::Get();
    Driver::Entered entered(driver, stream);
    OP_REQUIRES_OK(context, entered.status);
    void* kernel;
    OP_REQUIRES_OK(context, driver.Kernel(entered.context, launch_, &kernel));

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
    OP_REQUIRES_OK(context, context->allocate_output("losses", {launch_.blocks}, &losses));
    settings.losses = losses->flat<double>().data();

    // What blocks hand to each other, all of it in one piece, has to be 0.
    Tensor handed, kept;
    OP_REQUIRES_OK(context, Allocate(context, handed_, kHanded, &handed, &settings));
    OP_REQUIRES_OK(context, Allocate(context, kept_, kKept, &kept, &settings));
    OP_REQUIRES_OK(context, driver.Clear(handed.data(), handed.NumElements(), stream));
    OP_REQUIRES_OK(context, driver.Run(kernel, launch_, stream, settings));
  }

 private:
  // Lets the members of the settings point to so many floats each of one piece of scratch, or to
  // none.
  template <size_t kCount>
  static Status Allocate(OpKernelContext* context, const std::vector<int64_t>& floats,
                         float* Settings::*const (&members)[kCount], Tensor* scratch,
                         Settings* settings) {
    const auto whole_lines = [](int64_t count) { return (count + 31) / 32 * 32; };
    int64_t size = 0;
    for (int64_t count : floats) size += whole_lines(count);
    TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_FLOAT, {size}, scratch));
    float* at = scratch->flat<float>().data();
    for (size_t i = 0; i < kCount; ++i) {
      settings->*members[i] = floats[i] ? at : nullptr;
      at += whole_lines(floats[i]);
    }
    return tensorflow::OkStatus();
  }

  Status CheckShapes(const Tensor& rows, const Tensor& order, const Tensor& center,
                     const Tensor& width, const Tensor& rates, const Tensor& decays,
                     const OpInputList& params, const OpInputList& slots) const {
    if (params.size() != kTensors) return InvalidArgument("there must be 4 parameters");
    if (rows.dims() != 2 || order.dims() != 1 || params[0].dims() != 2) {
      return InvalidArgument("rows and kernels must be matrices, and order a vector");
    }
    const int64_t features = rows.dim_size(1), hidden = params[0].dim_size(1);
    if (features != settings_.features || hidden != settings_.hidden) {
      return InvalidArgument("the plan is one of other sizes");
    }
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
    const int64_t sharing = settings_.cluster == 1 ? settings_.blocks : settings_.cluster;
    if (sharing * settings_.slices * settings_.slice < features ||
        hidden > settings_.padded_hidden || features * hidden > INT32_MAX) {
      return InvalidArgument("the plan is one of other sizes");
    }
    return tensorflow::OkStatus();
  }

  Settings settings_ = {};
  Launch launch_;
  std::vector<int64_t> handed_, kept_;  // floats
};

REGISTER_KERNEL_BUILDER(
    Name("TfaeGpuTrainEpoch").Device(tensorflow::DEVICE_GPU).TypeConstraint<uint8_t>("T"),
    GpuTrainEpoch<uint8_t>);
REGISTER_KERNEL_BUILDER(
    Name("TfaeGpuTrainEpoch").Device(tensorflow::DEVICE_GPU).TypeConstraint<float>("T"),
    GpuTrainEpoch<float>);

}  // namespace
}  // namespace tfae::gpu

// The TensorFlow kernels of the ops: what they refuse, and the way into train.h and infer.h.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "instances.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tfae {

TFAE_INSTANCES(extern, uint8_t);
TFAE_INSTANCES(extern, float);

namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::errors::InvalidArgument;

// What the ops have in common: the stack, from the parameters' shapes.
template <typename T>
class StackKernel : public OpKernel {
 public:
  explicit StackKernel(OpKernelConstruction* context) : OpKernel(context) {
    std::vector<int> activations;
    OP_REQUIRES_OK(context, context->GetAttr("activations", &activations));
    OP_REQUIRES_OK(context, context->GetAttr("threads", &threads_));
    for (int activation : activations) {
      OP_REQUIRES(context, 0 <= activation && activation <= static_cast<int>(Activation::kLinear),
                  InvalidArgument("unknown activation ", activation));
      activations_.push_back(static_cast<Activation>(activation));
    }
  }

  void Compute(OpKernelContext* context) final {
    OpInputList params;
    std::vector<int> widths;
    Rows<T> rows;
    OP_REQUIRES_OK(context, context->input_list("params", &params));
    OP_REQUIRES_OK(context, Widths(context->input(0).shape(), params, &widths));
    OP_REQUIRES_OK(context, GetRows(context, &rows));
    try {
      const Stack stack(widths, activations_);
      Run(context, {params, rows, context->input(0).dim_size(0), stack});
    } catch (const std::exception& error) {  // of memory or threads there were not enough
      context->SetStatus(tensorflow::errors::ResourceExhausted(this->name(), ": ", error.what()));
    }
  }

 protected:
  // What every op is given.
  struct Inputs {
    const OpInputList& params;
    const Rows<T>& rows;
    const int64_t row_count;
    const Stack& stack;
    Parameters values() const {  // params, as the stack has them
      Parameters values(stack);
      values.Read(Data(params, 0, params.size()));
      return values;
    }
  };

  virtual void Run(OpKernelContext* context, const Inputs& inputs) = 0;

  void GetLossAndCompute(OpKernelConstruction* context) {
    if (!context->status().ok()) return;  // OP_REQUIRES ended only the constructor it stands in
    OP_REQUIRES_OK(context, context->GetAttr("compute", &compute_));
    has_loss_ = true;
    int loss;
    OP_REQUIRES_OK(context, context->GetAttr("loss", &loss));
    OP_REQUIRES(context, 0 <= loss && loss <= static_cast<int>(Loss::kHuber),
                InvalidArgument("unknown loss ", loss));
    loss_ = static_cast<Loss>(loss);
    OP_REQUIRES(context,
                loss_ != Loss::kBinaryCrossentropy || activations_.back() == Activation::kSigmoid,
                InvalidArgument("binary cross-entropy needs a sigmoid output"));
  }

  // The widths of a stack that takes rows of this shape and, where there is a loss, gives such
  // rows, of which there is one at least.
  Status Widths(const TensorShape& rows, const OpInputList& params,
                std::vector<int>* widths) const {
    if (rows.dims() != 2 || rows.dim_size(1) < 1 || (has_loss_ && rows.dim_size(0) < 1)) {
      return InvalidArgument("rows must be a matrix with rows and columns, got ",
                             rows.DebugString());
    }
    if (params.size() != 2 * static_cast<int>(activations_.size())) {
      return InvalidArgument("params must be a kernel and a bias for each of ",
                             activations_.size(), " layers, got ", params.size());
    }
    widths->assign(1, static_cast<int>(rows.dim_size(1)));
    for (int l = 0; l < params.size() / 2; ++l) {
      const TensorShape &kernel = params[2 * l].shape(), &bias = params[2 * l + 1].shape();
      if (kernel.dims() != 2 || bias.dims() != 1 || kernel.dim_size(0) != widths->back() ||
          kernel.dim_size(1) != bias.dim_size(0) || bias.dim_size(0) < 1) {
        return InvalidArgument("layer ", l, " takes ", widths->back(),
                               " columns, but has a kernel ", kernel.DebugString(), " and a bias ",
                               bias.DebugString());
      }
      widths->push_back(static_cast<int>(bias.dim_size(0)));
    }
    if (has_loss_ && widths->back() != widths->front()) {
      return InvalidArgument("the stack takes ", widths->front(), " columns and gives ",
                             widths->back());
    }
    return tensorflow::OkStatus();
  }

  Status GetRows(OpKernelContext* context, Rows<T>* rows) const {
    const Tensor &tensor = context->input(0), *scaling[2];
    TF_RETURN_IF_ERROR(context->input("center", &scaling[0]));
    TF_RETURN_IF_ERROR(context->input("width", &scaling[1]));
    for (const Tensor* part : scaling) {
      const bool fits = part->dims() == 1 && part->dim_size(0) == tensor.dim_size(1);
      if (part->NumElements() != 0 && !fits) {
        return InvalidArgument("center and width must have a value for each column, got ",
                               part->shape().DebugString());
      }
    }
    if (scaling[0]->NumElements() != scaling[1]->NumElements()) {
      return InvalidArgument("center and width go together");
    }
    *rows = {tensor.flat<T>().data(), tensor.dim_size(1)};
    if (scaling[0]->NumElements() != 0) {
      rows->center = scaling[0]->flat<float>().data();
      rows->width = scaling[1]->flat<float>().data();
    }
    return tensorflow::OkStatus();
  }

  static std::vector<const float*> Data(const OpInputList& tensors, int first, int count) {
    std::vector<const float*> data;
    for (int i = first; i < first + count; ++i) data.push_back(tensors[i].flat<float>().data());
    return data;
  }

  // Calls function(Arithmetic()).
  template <typename F>
  Status WithArithmetic(F function) const {
    if (compute_ == "float32") {
      function(Float32());
      return tensorflow::OkStatus();
    }
#ifdef TFAE_BFLOAT16
    function(BFloat16());
    return tensorflow::OkStatus();
#else
    return InvalidArgument("this processor has no products of bfloat16 numbers");
#endif
  }

  std::vector<Activation> activations_;
  bool has_loss_ = false;
  Loss loss_ = Loss::kMse;
  std::string compute_ = "float32";
  int threads_;
};

template <typename T>
class TrainEpochOp : public StackKernel<T> {
 public:
  explicit TrainEpochOp(OpKernelConstruction* context) : StackKernel<T>(context) {
    this->GetLossAndCompute(context);
    if (!context->status().ok()) return;
    std::vector<float> constants;
    OP_REQUIRES_OK(context, context->GetAttr("optimizer", &name_));
    OP_REQUIRES_OK(context, context->GetAttr("constants", &constants));
    OP_REQUIRES_OK(context, context->GetAttr("clip_norm", &clip_norm_));
    OP_REQUIRES_OK(context, context->GetAttr("batch_size", &batch_size_));
    optimizer_ = OptimizerOf(name_);
    std::visit(
        [&](auto& optimizer) {
          using Kind = std::decay_t<decltype(optimizer)>;
          slots_wanted_ = Kind::kSlots;
          OP_REQUIRES(context, constants.size() == Kind::kConstants,
                      InvalidArgument(name_, " has ", Kind::kConstants, " constants, got ",
                                      constants.size()));
          optimizer = Kind::From(constants);
        },
        optimizer_);
  }

  void Run(OpKernelContext* context, const typename StackKernel<T>::Inputs& inputs) override {
    OpInputList slots;
    const Tensor *order, *rates, *decays;
    OP_REQUIRES_OK(context, context->input_list("slots", &slots));
    OP_REQUIRES_OK(context, context->input("order", &order));
    OP_REQUIRES_OK(context, context->input("rates", &rates));
    OP_REQUIRES_OK(context, context->input("decays", &decays));
    const OpInputList& params = inputs.params;
    const int64_t row_count = inputs.row_count, count = order->NumElements();
    OP_REQUIRES(context, order->dims() == 1 && count > 0,
                InvalidArgument("order must be a list, got ", order->shape().DebugString()));
    const int32_t* indices = order->flat<int32_t>().data();
    OP_REQUIRES(context, std::all_of(indices, indices + count,
                                     [=](int32_t row) { return 0 <= row && row < row_count; }),
                InvalidArgument("order names rows beyond the ", row_count, " that there are"));
    const int64_t steps = (count + batch_size_ - 1) / batch_size_;
    OP_REQUIRES(context, rates->NumElements() == steps,
                InvalidArgument("rates must be ", steps, ", got ", rates->NumElements()));
    OP_REQUIRES(context, decays->NumElements() == 0 || decays->NumElements() == steps,
                InvalidArgument("decays must be ", steps, " or none, got ",
                                decays->NumElements()));
    OP_REQUIRES(context, slots.size() == slots_wanted_ * params.size(),
                InvalidArgument(name_, " has ", slots_wanted_, " slots a parameter, got ",
                                slots.size(), " for ", params.size(), " parameters"));
    for (int s = 0; s < slots.size(); ++s) {
      OP_REQUIRES(context, slots[s].shape() == params[s % params.size()].shape(),
                  InvalidArgument("slot ", s, " has the shape ", slots[s].shape().DebugString()));
    }

    OpOutputList new_params, new_slots;
    OP_REQUIRES_OK(context, context->output_list("new_params", &new_params));
    OP_REQUIRES_OK(context, context->output_list("new_slots", &new_slots));
    Tensors<const float> from{this->Data(params, 0, params.size())};
    Tensors<float> to(1 + slots_wanted_);
    OP_REQUIRES_OK(context, Allocate(params, 0, &new_params, &to[0]));
    for (int kind = 0; kind < slots_wanted_; ++kind) {
      const int first = kind * params.size();
      from.push_back(this->Data(slots, first, params.size()));
      OP_REQUIRES_OK(context, Allocate(params, first, &new_slots, &to[1 + kind]));
    }
    Tensor* loss;
    OP_REQUIRES_OK(context, context->allocate_output("mean_loss", TensorShape({}), &loss));
    const Schedule schedule{rates->flat<float>().data(),
                            decays->NumElements() ? decays->flat<float>().data() : nullptr,
                            clip_norm_, batch_size_};
    OP_REQUIRES_OK(context, this->WithArithmetic([&](auto arithmetic) {
      loss->scalar<float>()() = static_cast<float>(TrainEpoch<T, decltype(arithmetic)>(
          inputs.stack, this->loss_, optimizer_, schedule, inputs.rows, row_count,
          {indices, count}, this->threads_, from, to));
    }));
  }

 private:
  // Outputs shaped like these, from the first one on.
  static Status Allocate(const OpInputList& like, int first, OpOutputList* outputs,
                         std::vector<float*>* data) {
    for (int i = 0; i < like.size(); ++i) {
      Tensor* output;
      TF_RETURN_IF_ERROR(outputs->allocate(first + i, like[i].shape(), &output));
      data->push_back(output->flat<float>().data());
    }
    return tensorflow::OkStatus();
  }

  std::string name_;  // of the optimizer
  Optimizer optimizer_;
  int slots_wanted_ = 0;
  float clip_norm_;
  int batch_size_;
};

template <typename T>
class EvaluateOp : public StackKernel<T> {
 public:
  explicit EvaluateOp(OpKernelConstruction* context) : StackKernel<T>(context) {
    this->GetLossAndCompute(context);
  }

  void Run(OpKernelContext* context, const typename StackKernel<T>::Inputs& inputs) override {
    Tensor* loss;
    OP_REQUIRES_OK(context, context->allocate_output("mean_loss", TensorShape({}), &loss));
    OP_REQUIRES_OK(context, this->WithArithmetic([&](auto arithmetic) {
      loss->scalar<float>()() = static_cast<float>(Evaluate<T, decltype(arithmetic)>(
          inputs.stack, this->loss_, inputs.rows, inputs.row_count, this->threads_,
          inputs.values()));
    }));
  }
};

template <typename T>
class LayersOp : public StackKernel<T> {
 public:
  using StackKernel<T>::StackKernel;

  void Run(OpKernelContext* context, const typename StackKernel<T>::Inputs& inputs) override {
    const TensorShape shape({inputs.row_count, inputs.stack.layers.back().outputs});
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output("values", shape, &output));
    Forward(inputs.stack, inputs.rows, inputs.row_count, this->threads_, inputs.values(),
            output->flat<float>().data());
  }
};

// Each kernel for rows of a type.
#define TFAE_REGISTER(type)                                                              \
  REGISTER_KERNEL_BUILDER(                                                               \
      Name("TfaeTrainEpoch").Device(tensorflow::DEVICE_CPU).TypeConstraint<type>("T"),   \
      TrainEpochOp<type>);                                                               \
  REGISTER_KERNEL_BUILDER(                                                               \
      Name("TfaeEvaluate").Device(tensorflow::DEVICE_CPU).TypeConstraint<type>("T"),     \
      EvaluateOp<type>);                                                                 \
  REGISTER_KERNEL_BUILDER(                                                               \
      Name("TfaeLayers").Device(tensorflow::DEVICE_CPU).TypeConstraint<type>("T"),       \
      LayersOp<type>)

}  // namespace
}  // namespace tfae

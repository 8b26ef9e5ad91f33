// The TensorFlow ops: their signatures, their kernels, and what they were compiled for.
#include "kernels.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tfae {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

Status ShapesLike(InferenceContext* context, const char* input, const char* output) {
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(context->input(input, &shapes));
  return context->set_output(output, shapes);
}

// Rows are [N, D], bytes seen as 0 to 1 or floats, seen as (row - center) / width where these are
// [D] and not empty. Parameters are the kernel [I, O] and the bias [O] of each layer in turn.
// Activations and losses are numbered as in stack.h.

REGISTER_OP("TfaeTrainEpoch")
    .Attr("T: {uint8, float}")
    .Attr("P: int >= 2")
    .Attr("S: int >= 0")
    .Attr("activations: list(int) >= 1")
    .Attr("loss: int")
    .Attr("compute: {'float32', 'bfloat16'}")  // what the products round their inputs to
    .Attr("optimizer: {'adadelta', 'adam', 'sgd', 'momentum'}")
    .Attr("constants: list(float)")  // of the optimizer, in the order of its fields
    .Attr("clip_norm: float")        // of the gradients; 0 for no limit
    .Attr("batch_size: int >= 1")
    .Attr("threads: int >= 1")
    .Input("rows: T")
    .Input("order: int32")  // [n]
    .Input("center: float")
    .Input("width: float")
    .Input("rates: float")   // [steps]
    .Input("decays: float")  // [steps], or empty
    .Input("params: P * float")
    .Input("slots: S * float")  // all of the first kind, like params, then all of the second
    .Output("new_params: P * float")
    .Output("new_slots: S * float")
    .Output("mean_loss: float")
    .SetShapeFn([](InferenceContext* context) -> Status {
      TF_RETURN_IF_ERROR(ShapesLike(context, "params", "new_params"));
      TF_RETURN_IF_ERROR(ShapesLike(context, "slots", "new_slots"));
      return context->set_output("mean_loss", {context->Scalar()});
    });

REGISTER_OP("TfaeEvaluate")
    .Attr("T: {uint8, float}")
    .Attr("P: int >= 2")
    .Attr("activations: list(int) >= 1")
    .Attr("loss: int")
    .Attr("compute: {'float32', 'bfloat16'}")  // what the products round their inputs to
    .Attr("threads: int >= 1")
    .Input("rows: T")
    .Input("center: float")
    .Input("width: float")
    .Input("params: P * float")
    .Output("mean_loss: float")
    .SetShapeFn(tensorflow::shape_inference::ScalarShape);

REGISTER_OP("TfaeLayers")
    .Attr("T: {uint8, float}")
    .Attr("P: int >= 2")
    .Attr("activations: list(int) >= 1")
    .Attr("threads: int >= 1")
    .Input("rows: T")
    .Input("center: float")
    .Input("width: float")
    .Input("params: P * float")
    .Output("values: float")  // [N, O] of the last layer
    .SetShapeFn([](InferenceContext* context) -> Status {
      ShapeHandle rows, bias;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 2, &rows));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(context->num_inputs() - 1), 1, &bias));
      context->set_output(0, context->Matrix(context->Dim(rows, 0), context->Dim(bias, 0)));
      return tensorflow::OkStatus();
    });

TFAE_REGISTER(uint8_t);
TFAE_REGISTER(float);

}  // namespace
}  // namespace tfae

// What the kernels were compiled for, for a person.
extern "C" const char* tfae_simd() {
#if defined(TFAE_BFLOAT16)
  return "AVX-512 with bfloat16 products";
#elif defined(TFAE_AVX512)
  return "AVX-512";
#elif defined(TFAE_AVX2)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "vectors of four floats";
#endif
}

extern "C" bool tfae_has_bfloat16() {
#ifdef TFAE_BFLOAT16
  return true;
#else
  return false;
#endif
}

// The op that runs a step's program for every batch of an epoch, on the variables themselves.
#include "program.h"

#include <exception>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tfae {
namespace {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::Var;
using tensorflow::errors::InvalidArgument;

// What is below the smallest normal number is 0, as in TensorFlow's own threads.
void FlushDenormals() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

// Copies between a tensor and the memory, where whole numbers have 64 bits and truths are floats.
template <typename F>
bool WithType(tensorflow::DataType type, F function) {
  switch (type) {
    case tensorflow::DT_INT64: function(int64_t()); return true;
    case tensorflow::DT_INT32: function(int32_t()); return true;
    case tensorflow::DT_UINT32: function(uint32_t()); return true;
    case tensorflow::DT_UINT64: function(uint64_t()); return true;
    default: return false;
  }
}

void Read(const Tensor& tensor, float* to) {
  if (tensor.dtype() == tensorflow::DT_FLOAT) {
    std::copy_n(tensor.flat<float>().data(), tensor.NumElements(), to);
  } else if (tensor.dtype() == tensorflow::DT_BOOL) {
    std::copy_n(tensor.flat<bool>().data(), tensor.NumElements(), to);
  } else {
    WithType(tensor.dtype(), [&](auto of) {
      std::copy_n(tensor.flat<decltype(of)>().data(), tensor.NumElements(),
                  reinterpret_cast<int64_t*>(to));
    });
  }
}

void Write(const float* from, Tensor* tensor) {
  if (tensor->dtype() == tensorflow::DT_FLOAT) {
    std::copy_n(from, tensor->NumElements(), tensor->flat<float>().data());
  } else if (tensor->dtype() == tensorflow::DT_BOOL) {
    std::transform(from, from + tensor->NumElements(), tensor->flat<bool>().data(),
                   [](float truth) { return truth != 0; });
  } else {
    WithType(tensor->dtype(), [&](auto of) {
      std::copy_n(reinterpret_cast<const int64_t*>(from), tensor->NumElements(),
                  tensor->flat<decltype(of)>().data());
    });
  }
}

class RunProgramKernel : public OpKernel {
 public:
  explicit RunProgramKernel(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("threads", &threads_));
  }

  void Compute(OpKernelContext* context) final {
    try {
      Run(context);
    } catch (const std::out_of_range& error) {
      context->SetStatus(InvalidArgument(error.what()));
    } catch (const std::exception& error) {  // of memory or threads there were not enough
      context->SetStatus(tensorflow::errors::ResourceExhausted(this->name(), ": ", error.what()));
    }
  }

 private:
  void Run(OpKernelContext* context) {
    const Tensor *code, *rest_code, *constants, *layout, *sizes, *logs, *order;
    OpInputList handles, tables;
    OP_REQUIRES_OK(context, context->input("code", &code));
    OP_REQUIRES_OK(context, context->input("rest_code", &rest_code));
    OP_REQUIRES_OK(context, context->input("constants", &constants));
    OP_REQUIRES_OK(context, context->input("layout", &layout));
    OP_REQUIRES_OK(context, context->input("sizes", &sizes));
    OP_REQUIRES_OK(context, context->input("logs", &logs));
    OP_REQUIRES_OK(context, context->input("order", &order));
    OP_REQUIRES_OK(context, context->input_list("variables", &handles));
    OP_REQUIRES_OK(context, context->input_list("tables", &tables));

    const auto size = sizes->flat<int64_t>();  // of memory, columns and folds at most
    OP_REQUIRES(context, size.size() == 3 && layout->NumElements() == handles.size(),
                InvalidArgument("sizes must be three, and layout as long as variables"));
    Floats memory(size(0));
    std::copy_n(constants->flat<float>().data(), constants->NumElements(), memory.data());

    std::vector<tensorflow::core::RefCountPtr<Var>> variables(handles.size());
    for (int i = 0; i < handles.size(); ++i) {
      OP_REQUIRES_OK(context, LookupResource(context, tensorflow::HandleFromInput(
                                                          context, FirstOf(context, "variables") + i),
                                             &variables[i]));
      const tensorflow::tf_shared_lock lock(*variables[i]->mu());
      Read(*variables[i]->tensor(), memory + layout->flat<int32_t>()(i));
    }
    std::vector<Table> rows;
    for (const Tensor& table : tables) {
      Table::Type type = Table::kFloat;
      if (table.dtype() == tensorflow::DT_UINT8) type = Table::kByte;
      if (table.dtype() == tensorflow::DT_INT32) type = Table::kInt32;
      if (table.dtype() == tensorflow::DT_INT64) type = Table::kInt64;
      rows.push_back({type, table.tensor_data().data()});
      for (int64_t row = 0, n = order->NumElements(); row < n; ++row) {
        const int32_t of = order->flat<int32_t>()(row);
        OP_REQUIRES(context, 0 <= of && of < table.dim_size(0),
                    InvalidArgument("the order has row ", of, " of ", table.dim_size(0)));
      }
    }

    const Program program(code->flat<int32_t>().data(), code->NumElements());
    const Program rest(rest_code->flat<int32_t>().data(), rest_code->NumElements());
    RunSteps(program, rest, memory, rows, *order, size(1), size(2));

    for (int i = 0; i < handles.size(); ++i) {
      const tensorflow::mutex_lock lock(*variables[i]->mu());
      Tensor fresh;
      OP_REQUIRES_OK(context, context->allocate_temp(variables[i]->tensor()->dtype(),
                                                     variables[i]->tensor()->shape(), &fresh));
      Write(memory + layout->flat<int32_t>()(i), &fresh);
      *variables[i]->tensor() = fresh;
    }
    Tensor* logged;
    OP_REQUIRES_OK(context, context->allocate_output(0, logs->shape(), &logged));
    for (int64_t i = 0; i < logs->NumElements(); ++i) {
      logged->flat<float>()(i) = memory[logs->flat<int32_t>()(i)];
    }
  }

  static int FirstOf(OpKernelContext* context, const char* name) {
    int begin = 0, end = 0;
    context->op_kernel().InputRange(name, &begin, &end).IgnoreError();
    return begin;
  }

  void RunSteps(const Program& program, const Program& rest, float* memory,
                const std::vector<Table>& tables, const Tensor& order, size_t most_columns,
                size_t most_folds) const {
    const int64_t rows = order.NumElements(), batch = program.batch_rows();
    const int threads = program.IsShared() ? threads_ : 1;
    Team team(threads, memory, tables, order.flat<int32_t>().data(), most_columns, most_folds);
    RunThreads(threads, [&](int thread) {
#if defined(__x86_64__)
      const unsigned before = _mm_getcsr();
#endif
      FlushDenormals();
      Team::Member member(team, thread);
      int64_t first = 0;
      for (; first + batch <= rows; first += batch) member.Run(program, first);
      if (first < rows) member.Run(rest, first);
      member.Meet(false);
#if defined(__x86_64__)
      _mm_setcsr(before);
#endif
    });
    team.Check();
  }

  int threads_;
};

REGISTER_OP("TfaeRunProgram")
    .Attr("V: int >= 0")
    .Attr("T: list({float, uint8, int32, int64}) >= 1")
    .Attr("threads: int >= 1")
    .Input("code: int32")       // of a whole batch
    .Input("rest_code: int32")  // of the short one at the end
    .Input("constants: float")  // what the memory begins with
    .Input("layout: int32")     // where in the memory each variable lies
    .Input("sizes: int64")      // of the memory, and of what the threads gather
    .Input("logs: int32")       // where what is returned lies
    .Input("order: int32")      // of the rows
    .Input("variables: V * resource")
    .Input("tables: T")
    .Output("logged: float")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::UnknownShape);

REGISTER_KERNEL_BUILDER(Name("TfaeRunProgram").Device(tensorflow::DEVICE_CPU), RunProgramKernel);

}  // namespace
}  // namespace tfae

// The operations of a map, by name, in the order of their codes.
extern "C" const char* tfae_map_names() { return tfae::kMapNames; }

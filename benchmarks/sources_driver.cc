// Runs the native kernels without TensorFlow, for the sanitizers and for other widths of vectors:
// prints the losses of stacks, batches and thread counts that fit nothing evenly.
#include <cstdio>

#include "infer.h"
#include "train.h"

using namespace tfae;

uint32_t state = 1;
float Random() {  // from 0 to 1, the same everywhere
  state = state * 1664525 + 1013904223;
  return (state >> 8) / 16777216.0f;
}

// Prints the mean loss of an epoch, the one after it, and the mean of what comes out.
template <typename Arithmetic, typename T>
void Train(const Stack& stack, Loss loss, const Optimizer& optimizer, const Rows<T>& rows, int count,
           int batch, int threads, float clip_norm, std::vector<std::vector<float>> params) {
  Tensors<float> tensors(3);  // the parameters and two slots for each
  std::vector<std::vector<float>> slots[2];
  for (auto& param : params) tensors[0].push_back(param.data());
  for (int kind : {0, 1}) {
    for (const auto& param : params) slots[kind].emplace_back(param.size());
    for (auto& slot : slots[kind]) tensors[1 + kind].push_back(slot.data());
  }
  Tensors<const float> before;
  for (const auto& kind : tensors) before.emplace_back(kind.begin(), kind.end());
  std::vector<int32_t> order(count);
  for (int i = 0; i < count; ++i) order[i] = (i * 7 + 3) % count;
  const int steps = (count + batch - 1) / batch;
  const std::vector<float> rates(steps, 0.01f), decays(steps, 0.001f);
  const Schedule schedule{rates.data(), decays.data(), clip_norm, batch};
  const double trained =
      TrainEpoch<T, Arithmetic>(stack, loss, optimizer, schedule, rows, count,
                                {order.data(), count}, threads, before, tensors);
  Parameters parameters(stack);
  parameters.Read(before[0]);
  const double after = Evaluate<T, Arithmetic>(stack, loss, rows, count, threads, parameters);
  std::vector<float> outputs(static_cast<size_t>(count) * stack.layers.back().outputs);
  Forward(stack, rows, count, threads, parameters, outputs.data());
  double sum = 0;
  for (float output : outputs) sum += output;
  if (Arithmetic::kDepth > 1) return;  // not every build has it
  printf("%.5f %.5f %.5f\n", trained, after, sum / outputs.size());
}

template <typename T>
void Run(const std::vector<int>& widths, Activation hidden, Loss loss, int count, int batch,
         int threads, float zeros, float clip_norm, const Optimizer& optimizer) {
  const int features = widths.front(), layer_count = static_cast<int>(widths.size()) - 1;
  std::vector<Activation> activations(layer_count, hidden);
  activations.back() = Activation::kSigmoid;
  const Stack stack(widths, activations);
  std::vector<T> values(static_cast<size_t>(count) * features);
  for (size_t i = 0; i < values.size(); ++i) {
    // Where most are zero, some features are in all rows.
    const bool zero = Random() < zeros || (zeros > 0.5f && i % features / 4 % 2 == 1);
    values[i] = zero ? T() : static_cast<T>(Random() * (sizeof(T) == 1 ? 255 : 1));
  }
  std::vector<std::vector<float>> tensors;
  for (int l = 0; l < layer_count; ++l) {
    tensors.emplace_back(widths[l] * widths[l + 1]);
    for (float& weight : tensors.back()) weight = Random() - 0.5f;
    tensors.emplace_back(widths[l + 1], 0.1f);
  }
  const Rows<T> rows{values.data(), features};
  Train<Float32>(stack, loss, optimizer, rows, count, batch, threads, clip_norm, tensors);
#ifdef TFAE_BFLOAT16
  if constexpr (std::is_same_v<T, uint8_t>) {  // one of each
    Train<BFloat16>(stack, loss, optimizer, rows, count, batch, threads, clip_norm, tensors);
  }
#endif
}

int main() {
  const Adam adam{0.1f, 0.001f, 1e-7f};
  const Adadelta adadelta{0.95f, 0.05f, 1e-7f};
  const Loss cross_entropy = Loss::kBinaryCrossentropy;
  for (int threads : {1, 2, 5}) {
    Run<uint8_t>({1, 1, 1}, Activation::kRelu, cross_entropy, 1, 1, threads, 0, 0, adam);
    Run<uint8_t>({37, 5, 37}, Activation::kTanh, cross_entropy, 301, 100, threads, 0.8, 0, adam);
    Run<uint8_t>({70, 33, 17, 33, 70}, Activation::kSelu, Loss::kMse, 150, 64, threads, 0.8, 0.5,
                 adadelta);
    Run<float>({33, 47, 33}, Activation::kGelu, Loss::kMae, 290, 300, threads, 0, 0, adadelta);
    Run<float>({90, 65, 90}, Activation::kSilu, Loss::kHuber, 300, 99, threads, 0.7, 0.1, adam);
    // Of these, threads share the columns.
    Run<uint8_t>({210, 9, 210}, Activation::kTanh, cross_entropy, 190, 51, threads, 0.8, 0, adam);
    Run<float>({1350, 9, 1350}, Activation::kElu, Loss::kMse, 300, 261, threads, 0, 0.5, adadelta);
  }
}

// Whole epochs of an autoencoder with one hidden layer, in one launch.
//
// Each block keeps the weights of a slice of pixels, its rows of the encoder and its columns of the
// decoder, with their slots, from the first step to the last. Decoder, loss, both kernels'
// gradients and their update are its own; only the hidden pre-activations and their slopes are sums
// over all pixels: every block hands its part of them to others, adds a share of all blocks' parts,
// always in the same order, and hands that to all. So a step is four ways from block to block, five
// where the loss is scaled or gradients are clipped, and results are reproducible to the bit. Each
// block does on these ways what is its own.
//
// The same places carry the pre-activations and then their slopes; their flags tell them apart. A
// place is free when its number is read: a block hands a slope, or the next step's number, only
// after it has the sums that the readers of its last number made of it.
//
// Where there are more pixels than the blocks have room for on chip, a block has several slices,
// keeps their weights in the device's memory, and goes through them one after the other.
#pragma once

#include "exchange.h"
#include "functions.h"
#include "settings.h"
#include "tile.h"

namespace tfae::gpu {

constexpr int kSkew = 8;     // a matrix' rows in shared memory begin in different banks
constexpr int kQuadsAtOnce = 64, kParts = kThreads / kQuadsAtOnce;  // of a share that is summed
static_assert(kQuadsAtOnce * kParts == kThreads);  // as much room as plan.py leaves for them
constexpr int kMostParts = 8;  // of the rows of a kernel's gradient; their sum is unrolled
constexpr uint32_t kActivations = 1, kSlopes = 0;  // flags
constexpr int kGrowthSteps = 2000;  // good steps before the loss scale is doubled

// Two floats, which are loaded at once.
struct alignas(8) Pair {
  float first, second;
};

struct LossScale {
  float value;
  int64_t good_steps, skipped_steps;
};

// The value of feature f that is stored as such a number.
TFAE_DEVICE float ValueOf(const Settings&, uint8_t stored, int) { return stored * (1 / 255.0f); }
TFAE_DEVICE float ValueOf(const Settings& s, float stored, int f) {
  return s.center ? (stored - s.center[f]) / s.width[f] : stored;
}

// Four of a row's features, which are loaded at once where they lie so that that can be.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T at[4];
};

// The first `count` of them are in the row.
template <typename T>
TFAE_DEVICE Four<T> FourOf(const T* from, int count) {
  if (count >= 4 && reinterpret_cast<uintptr_t>(from) % sizeof(Four<T>) == 0) {
    return *reinterpret_cast<const Four<T>*>(from);
  }
  Four<T> four = {};
  for (int i = 0; i < 4; ++i) {
    if (i < count) four.at[i] = from[i];
  }
  return four;
}

template <typename Half, typename T>
class Epoch {
 public:
  TFAE_DEVICE Epoch(const Block& block, const Settings& settings)
      : block_(block), s_(settings), encoder_(At<uint16_t>(s_.at_encoder)),
        decoder_(At<uint16_t>(s_.at_decoder)), exchanged_(At<uint16_t>(s_.at_exchanged)),
        slopes_(At<uint16_t>(s_.at_slopes)), sums_(At<float>(s_.at_sums)),
        own_(s_.spilled ? s_.spilled + static_cast<size_t>(block.index) * (kKinds + 1) * Size()
                        : At<float>(s_.at_own)),
        share_begin_(Quads(s_.batch) * block.index / block.count),
        share_end_(Quads(s_.batch) * (block.index + 1) / block.count),
        hidden_slopes_(share_end_ - share_begin_ <= kQuadsAtOnce
                           ? At<float>(s_.at_share)
                           : s_.hidden_slopes + share_begin_ * 4) {
    Enter(0);
  }

  TFAE_DEVICE void Run() {
    const LossScale given = {*s_.given_loss_scale, *s_.given_good_steps, *s_.given_skipped_steps};
    LossScale scale = Half::kScalesLoss ? given : LossScale{1.0f, 0, 0};
    Exchange(true);
    if (!InSlices()) Round();
    double loss = 0;
    int updates = 0;
    for (int start = 0, step = 0; start < s_.row_count; start += s_.batch, ++step) {
      count_ = Least(s_.batch, s_.row_count - start);
      order_ = s_.order + start;
      buffer_ = Reloads() ? 0 : step % 2;
      if (step == 0 && !Reloads()) Load(0);
      const float upstream = scale.value / (static_cast<float>(count_) * s_.features);
      Encode();
      Share(kActivations, [this](float* to, float& slope, int unit, float sum) {
        const auto activation = static_cast<Activation>(s_.activation);
        const float z = sum + own_[HiddenBias() + unit], value = Activate(activation, z);
        Hand(to, unit < s_.hidden ? value : 0.0f, kActivations);
        slope = SlopeOf(activation, z, value);
      });
      loss += Decode(upstream);
      Share(kSlopes, [this](float* to, const float& slope, int unit, float sum) {
        Hand(to, unit < s_.hidden ? sum * slope : 0.0f, kSlopes);
      });
      LoadAhead(start + s_.batch);  // while the slopes are on their way
      EncoderGradient();
      bool finite = true;
      const float factor = Factor(step, scale.value, finite);
      if (finite) Update(updates++, factor);
      if (Half::kScalesLoss) Adapt(scale, finite);
    }
    Exchange(false);
    WriteLoss(loss);
    if (block_.index == 0 && block_.IsFirstThread()) {
      const LossScale after = Half::kScalesLoss ? scale : given;
      *s_.loss_scale = after.value;
      *s_.good_steps = after.good_steps;
      *s_.skipped_steps = after.skipped_steps;
    }
  }

 private:
  TFAE_DEVICE static int Least(int a, int b) { return a < b ? a : b; }
  TFAE_DEVICE static bool IsFinite(float value) { return value - value == 0; }
  TFAE_DEVICE static Matrix<kByRows> Straight(const uint16_t* data, int stride) {
    return {data, stride};
  }
  TFAE_DEVICE static Matrix<kByColumns> Transposed(const uint16_t* data, int stride) {
    return {data, stride};
  }
  template <typename U>
  TFAE_DEVICE U* At(int byte) const {
    return reinterpret_cast<U*>(block_.shared + byte);
  }
  TFAE_DEVICE int Quads(int rows) const { return rows * s_.padded_hidden / 4; }

  // A block's parameters: of each slice the encoder [slice, hidden], the decoder [hidden, slice]
  // and the pixels' biases, and all of the hidden ones, which every block keeps alike. `own_` has
  // their values, both slots and gradients, one after the other.
  TFAE_DEVICE int KernelSize() const { return s_.slice * s_.padded_hidden; }
  TFAE_DEVICE int SliceSize() const { return 2 * KernelSize() + s_.slice; }
  TFAE_DEVICE int Encoder() const { return number_ * SliceSize(); }
  TFAE_DEVICE int Decoder() const { return Encoder() + KernelSize(); }
  TFAE_DEVICE int OutputBias() const { return Decoder() + KernelSize(); }
  TFAE_DEVICE int HiddenBias() const { return s_.slices * SliceSize(); }
  TFAE_DEVICE int Size() const { return HiddenBias() + s_.padded_hidden; }
  TFAE_DEVICE float* Gradients() const { return own_ + kKinds * Size(); }

  TFAE_DEVICE int EncoderStride() const { return s_.padded_hidden + kSkew; }  // and exchanged_'s
  TFAE_DEVICE int SliceStride() const { return s_.slice + kSkew; }  // of all others

  // The inputs of a batch [chunk, slice], in one of two buffers.
  TFAE_DEVICE float* Raw() const {
    return At<float>(s_.at_raw) + buffer_ * s_.chunk * SliceStride();
  }
  TFAE_DEVICE uint16_t* Inputs() const {
    return At<uint16_t>(s_.at_inputs) + buffer_ * s_.chunk * SliceStride();
  }

  // Goes to a slice of the block's.
  TFAE_DEVICE void Enter(int number) {
    number_ = number;
    first_ = (block_.index * s_.slices + number) * s_.slice;
    pixels_ = Least(s_.slice, s_.features - first_);  // of a last block's none, or less
  }
  // Calls f() in each slice.
  template <typename F>
  TFAE_DEVICE void ForEachSlice(F f) {
    for (int number = 0; number < s_.slices; ++number) {
      Enter(number);
      f();
    }
  }

  // Calls f(parameter, its tensor, where it is in that) for each that is not padding.
  template <typename F>
  TFAE_DEVICE void ForEachParameter(F f) {
    ForEachSlice([&] {
      const int begin = Encoder(), end = number_ + 1 < s_.slices ? begin + SliceSize() : Size();
      block_.ForEach(end - begin, [&](int j) {
        const int i = begin + j, hidden = s_.hidden, slice = s_.slice;
        if (i < Decoder()) {
          const int pixel = j / s_.padded_hidden, unit = j % s_.padded_hidden;
          if (pixel < pixels_ && unit < hidden) f(i, 0, (first_ + pixel) * hidden + unit);
        } else if (i < OutputBias()) {
          const int unit = (i - Decoder()) / slice, pixel = (i - Decoder()) % slice;
          if (pixel < pixels_ && unit < hidden) f(i, 2, unit * s_.features + first_ + pixel);
        } else if (j < SliceSize()) {
          if (i - OutputBias() < pixels_) f(i, 3, first_ + i - OutputBias());
        } else if (i - HiddenBias() < hidden) {
          f(i, 1, i - HiddenBias());
        }
      });
    });
  }

  // Reads the parameters and slots, or writes them back.
  TFAE_DEVICE void Exchange(bool reads) {
    if (reads) {
      block_.ForEach((kKinds + 1) * Size(), [&](int i) { own_[i] = 0; });
      block_.Sync();
    }
    ForEachParameter([&](int i, int tensor, int at) {
      TFAE_ONE_BY_ONE for (int kind = 0; kind <= s_.slots; ++kind) {
        float& inside = own_[kind * Size() + i];
        if (reads) {
          inside = s_.given[kind][tensor][at];
        } else if (tensor != 1 || block_.index == 0) {
          s_.tensors[kind][tensor][at] = inside;
        }
      }
    });
    block_.Sync();
  }

  // Rounds the slice's kernels for the products.
  TFAE_DEVICE void Round() {
    const Divisor by_hidden(s_.padded_hidden), by_slice(s_.slice);
    block_.ForEach(KernelSize(), [&](int i) {
      // A row is kSkew longer there.
      encoder_[i + by_hidden.Quotient(i) * kSkew] = Half::Round(own_[Encoder() + i]);
      decoder_[i + by_slice.Quotient(i) * kSkew] = Half::Round(own_[Decoder() + i]);
    });
    block_.Sync();
  }

  // Whether a batch is too large for the shared memory, and is gone through three times in parts.
  TFAE_DEVICE bool InChunks() const { return s_.batch > s_.chunk; }
  TFAE_DEVICE bool InSlices() const { return s_.slices > 1; }
  TFAE_DEVICE bool Reloads() const { return InChunks() || InSlices(); }
  TFAE_DEVICE int Rows(int chunk) const { return Least(s_.chunk, count_ - chunk); }
  TFAE_DEVICE int RowTiles(int chunk) const { return Padded(Rows(chunk)) / kTile; }
  TFAE_DEVICE static int Padded(int rows) { return (rows + kTile - 1) / kTile * kTile; }

  // This slice's inputs of the rows from `chunk` on: as floats, and rounded.
  TFAE_DEVICE void Load(int chunk) {
    const int rows = Rows(chunk), quads = s_.slice / 4;
    const Divisor by_quads(quads);
    block_.ForEachLoaded(
        Padded(rows) * quads,
        [&](int i) {
          const int row = by_quads.Quotient(i);
          return row < rows ? order_[chunk + row] : 0;
        },
        [&](int i, int row) {
          const T* from = static_cast<const T*>(s_.rows) + static_cast<size_t>(row) * s_.features;
          const int pixel = by_quads.Remainder(i) * 4;
          return FourOf(from + first_ + pixel, pixels_ - pixel);
        },
        [&](int i, const Four<T>& four) {
          const int row = by_quads.Quotient(i), pixel = by_quads.Remainder(i) * 4;
          Quad values = {};
          for (int j = 0; j < 4; ++j) {
            if (row < rows && pixel + j < pixels_) {
              values.at[j] = ValueOf(s_, four.at[j], first_ + pixel + j);
            }
          }
          const int at = row * SliceStride() + pixel;
          *reinterpret_cast<Quad*>(Raw() + at) = values;
          PutRounded(Inputs() + at, values);
        });
    block_.Sync();
  }

  // The inputs of the batch that begins at row `start`, to the other buffer.
  TFAE_DEVICE void LoadAhead(int start) {
    if (Reloads() || start >= s_.row_count) return;
    const int count = count_;
    count_ = Least(s_.batch, s_.row_count - start);
    order_ = s_.order + start;
    buffer_ ^= 1;
    Load(0);
    buffer_ ^= 1;
    count_ = count;
  }

  // Takes what the blocks hand to each other of the rows from `chunk` on, and rounds it. A thread
  // takes some rows of four columns and puts their sums to sums_; returns the sums of a column.
  // With 4 rows it is done sooner, but there are four times as many sums, for which small chunks
  // have room.
  TFAE_DEVICE int TakeExchanged(int chunk, uint32_t flag) {
    if (Padded(s_.chunk) / 4 * s_.padded_hidden <= 4 * kThreads) return TakeRows<4>(chunk, flag);
    return TakeRows<kTile>(chunk, flag);
  }

  template <int kRows>
  TFAE_DEVICE int TakeRows(int chunk, uint32_t flag) {
    const int rows = Rows(chunk), quads = s_.padded_hidden / 4, sums = Padded(rows) / kRows;
    const Divisor by_quads(quads);
    block_.ForEach(sums * quads, [&](int i) {
      const int at = by_quads.Quotient(i), unit = by_quads.Remainder(i) * 4, start = at * kRows;
      const float* from = s_.exchanged + (chunk + start) * s_.padded_hidden + unit;
      uint16_t* to = exchanged_ + start * EncoderStride() + unit;
      Quad sum = {};
      TakeQuads<kRows < 8 ? kRows : 8>(
          from, s_.padded_hidden, Least(kRows, rows - start), flag, [&](int row, const Quad& quad) {
            for (int j = 0; j < 4; ++j) sum.at[j] += quad.at[j];
            PutRounded(to + row * EncoderStride(), quad);
          });
      TFAE_ONE_BY_ONE for (int row = rows > start ? rows - start : 0; row < kRows; ++row) {
        PutRounded(to + row * EncoderStride(), Quad());
      }
      *reinterpret_cast<Quad*>(sums_ + at * s_.padded_hidden + unit) = sum;
    });
    block_.Sync();
    return sums;
  }

  TFAE_DEVICE static void PutRounded(uint16_t* to, const Quad& quad) {
    Halves<4> halves;
    for (int j = 0; j < 4; ++j) halves.at[j] = Half::Round(quad.at[j]);
    *reinterpret_cast<Halves<4>*>(to) = halves;
  }

  // Adds up the columns of sums_ [count, columns] to a bias' gradient.
  TFAE_DEVICE void AddBiasGradient(int chunk, int count, int columns, int at) {
    block_.ForEachByWarp(columns, [&](int column) {
      const float sum =
          block_.SumByWarp(count, [&](int i) { return sums_[i * columns + column]; });
      float& gradient = Gradients()[at + column];
      if (block_.IsFirstOfWarp()) gradient = (chunk ? gradient : 0.0f) + sum;
    });
  }

  // Adds the product of left [m, rows] and right [rows, n] to a kernel's gradient [m, n], which the
  // first chunk of rows begins. Where there are fewer tiles than warps, the rows of each are split.
  TFAE_DEVICE void AddKernelGradient(int chunk, Matrix<kByColumns> left, int m,
                                     Matrix<kByRows> right, int n, int at) {
    const int columns = n / kTile, tiles = m / kTile * columns, steps = RowTiles(chunk);
    const Divisor by_tiles(tiles);
    float* to = Gradients() + at;
    float* parts_of = Raw();  // which the loss was the last to need
    const int room = Divisor(m * n).Quotient(s_.chunk * SliceStride());
    const int parts = Least(Least(room, kMostParts), Least(by_tiles.Quotient(kWarps), steps));
    if (parts < 2) {
      block_.ForEachTile(m / kTile, columns, [&](int i, int j) {
        Tile tile;
        MultiplyAdd<Half>(tile, left.From(i * kTile, 0), right.From(0, j * kTile), steps * kTile);
        tile.ForEachPair([&](int r, int c, float first, float second) {
          float* sum = to + (i * kTile + r) * n + j * kTile + c;
          sum[0] = (chunk ? sum[0] : 0.0f) + first;
          sum[1] = (chunk ? sum[1] : 0.0f) + second;
        });
      });
      block_.Sync();
      return;
    }
    const Divisor by_columns(columns), by_parts(parts);
    block_.ForEachByWarp(tiles * parts, [&](int item) {
      const int part = by_tiles.Quotient(item), at_tile = by_tiles.Remainder(item);
      const int i = by_columns.Quotient(at_tile), j = by_columns.Remainder(at_tile);
      const int begin = by_parts.Quotient(steps * part) * kTile;
      const int end = by_parts.Quotient(steps * (part + 1)) * kTile;
      Tile tile;
      MultiplyAdd<Half>(tile, left.From(i * kTile, begin), right.From(begin, j * kTile),
                        end - begin);
      tile.ForEachPair([&](int r, int c, float first, float second) {
        float* put = parts_of + part * m * n + (i * kTile + r) * n + j * kTile + c;
        *reinterpret_cast<Pair*>(put) = {first, second};
      });
    });
    block_.Sync();
    block_.ForEach(m * n, [&](int i) {
      float sum = chunk ? to[i] : 0.0f;
      TFAE_UNROLL for (int part = 0; part < kMostParts; ++part) {
        if (part < parts) sum += parts_of[part * m * n + i];
      }
      to[i] = sum;
    });
    block_.Sync();
  }

  // Hands a tile of this block's part of a sum over all pixels, which its first slice begins. Until
  // the last one the flag is the other, so that nobody takes it.
  TFAE_DEVICE void HandPartial(Tile& tile, int row, int unit, uint32_t flag) {
    float* to = s_.partials +
                (static_cast<size_t>(block_.index) * s_.batch + row) * s_.padded_hidden + unit;
    if (number_ + 1 < s_.slices) flag ^= 1;
    tile.ForEachPair([&](int i, int j, float first, float second) {
      if (row + i >= count_) return;
      float* at = to + i * s_.padded_hidden + j;
      if (number_) first += Look(at), second += Look(at + 1);
      HandPair(at, first, second, flag);
    });
  }

  // This block's part of the hidden pre-activations.
  TFAE_DEVICE void Encode() {
    ForEachSlice([&] {
      if (InSlices()) Round();
      for (int chunk = 0; chunk < count_; chunk += s_.chunk) {
        if (Reloads()) Load(chunk);
        block_.ForEachTile(RowTiles(chunk), s_.padded_hidden / kTile, [&](int i, int j) {
          const int row = i * kTile, unit = j * kTile;
          Tile tile;
          MultiplyAdd<Half>(tile, Straight(Inputs(), SliceStride()).From(row, 0),
                            Straight(encoder_, EncoderStride()).From(0, unit), s_.slice);
          HandPartial(tile, chunk + row, unit, kActivations);
        });
        block_.Sync();
      }
    });
  }

  // Adds all blocks' parts of this block's share of [rows, hidden]. Calls f(to, slope, unit, sum)
  // for each sum: `to` is the place that all read, `slope` where the activation's slope is kept.
  template <typename F>
  TFAE_DEVICE void Share(uint32_t flag, F f) {
    const int end = Least(share_end_, Quads(count_));
    const int stride = s_.batch * s_.padded_hidden;
    const Divisor by_hidden(s_.padded_hidden);
    Quad* parts = reinterpret_cast<Quad*>(sums_);
    for (int start = share_begin_; start < end; start += kQuadsAtOnce) {
      const int now = Least(kQuadsAtOnce, end - start);
      const Divisor by_now(now);
      block_.ForEach(now * kParts, [&](int i) {
        const int part = by_now.Quotient(i), first = block_.count * part / kParts;
        const float* from = s_.partials + (start + by_now.Remainder(i)) * 4 + first * stride;
        Quad sum = {};
        TakeQuads<8>(from, stride, block_.count * (part + 1) / kParts - first, flag,
                     [&](int, const Quad& of_block) {
                       for (int j = 0; j < 4; ++j) sum.at[j] += of_block.at[j];
                     });
        parts[i] = sum;
      });
      block_.Sync();
      block_.ForEach(now * 4, [&](int i) {
        const int at = start * 4 + i;
        float sum = 0;
        for (int part = 0; part < kParts; ++part) sum += parts[part * now + i / 4].at[i % 4];
        f(s_.exchanged + at, hidden_slopes_[at - share_begin_ * 4], by_hidden.Remainder(at), sum);
      });
      block_.Sync();
    }
  }

  // The outputs, their loss, the decoder's gradient, and this block's part of the hidden slopes.
  // Returns this thread's part of the sum of the loss.
  TFAE_DEVICE double Decode(float upstream) {
    float loss = 0;
    ForEachSlice([&] {
      if (InSlices()) Round();
      for (int chunk = 0; chunk < count_; chunk += s_.chunk) {
        if (Reloads()) Load(chunk);
        TakeExchanged(chunk, kActivations);
        DecodeRows(chunk, upstream, loss);
      }
    });
    return loss;
  }

  TFAE_DEVICE void DecodeRows(int chunk, float upstream, float& loss) {
    const int rows = Rows(chunk);
    block_.ForEachTile(RowTiles(chunk), s_.slice / kTile, [&](int i, int j) {
      const int row = i * kTile, pixel = j * kTile;
      Tile tile;
      MultiplyAdd<Half>(tile, Straight(exchanged_, EncoderStride()).From(row, 0),
                        Straight(decoder_, SliceStride()).From(0, pixel), s_.padded_hidden);
      if (static_cast<Loss>(s_.loss) == Loss::kBinaryCrossentropy) {
        PutSlopes(tile, row, pixel, rows, upstream, loss,
                  [](float z, float x) { return CrossEntropyOf(z, x); });
      } else {
        const auto of = static_cast<Loss>(s_.loss);
        const auto activation = static_cast<Activation>(s_.output_activation);
        PutSlopes(tile, row, pixel, rows, upstream, loss,
                  [=](float z, float x) { return LossOf(of, activation, z, x); });
      }
      tile.ForEachColumnSum([&](int c, float sum) { sums_[i * s_.slice + pixel + c] = sum; });
    });
    block_.Sync();
    // First what the others wait for.
    block_.ForEachTile(RowTiles(chunk), s_.padded_hidden / kTile, [&](int i, int j) {
      const int row = i * kTile, unit = j * kTile;
      Tile tile;
      MultiplyAdd<Half>(tile, Straight(slopes_, SliceStride()).From(row, 0),
                        Transposed(decoder_, SliceStride()).From(0, unit), s_.slice);
      HandPartial(tile, chunk + row, unit, kSlopes);
    });
    AddBiasGradient(chunk, RowTiles(chunk), s_.slice, OutputBias());
    AddKernelGradient(chunk, Transposed(exchanged_, EncoderStride()), s_.padded_hidden,
                      Straight(slopes_, SliceStride()), s_.slice, Decoder());
  }

  // Makes of the products in a tile, of outputs without their biases, the loss' slopes by these
  // outputs, and puts them to slopes_. `loss_of` is given an output before its activation and the
  // target.
  template <typename LossOfOutput>
  TFAE_DEVICE void PutSlopes(Tile& tile, int row, int pixel, int rows, float upstream, float& loss,
                             LossOfOutput loss_of) {
    tile.ForEachPair([&](int r, int c, float& first, float& second) {
      const int at = (row + r) * SliceStride() + pixel + c;
      const auto x = *reinterpret_cast<const Pair*>(Raw() + at);
      const auto bias = *reinterpret_cast<const Pair*>(own_ + OutputBias() + pixel + c);
      const LossAndSlope a = loss_of(first + bias.first, x.first);
      const LossAndSlope b = loss_of(second + bias.second, x.second);
      // All of it is computed, and what is padding taken away, so that no thread waits for another.
      const bool has_a = row + r < rows && pixel + c < pixels_;
      const bool has_b = row + r < rows && pixel + c + 1 < pixels_;
      loss += (has_a ? a.loss : 0.0f) + (has_b ? b.loss : 0.0f);
      first = has_a ? a.slope * upstream : 0.0f;
      second = has_b ? b.slope * upstream : 0.0f;
      *reinterpret_cast<Halves<2>*>(slopes_ + at) = {{Half::Round(first), Half::Round(second)}};
    });
  }

  // The encoder's gradient, and the hidden biases'.
  TFAE_DEVICE void EncoderGradient() {
    ForEachSlice([&] {
      for (int chunk = 0; chunk < count_; chunk += s_.chunk) {
        if (Reloads()) Load(chunk);
        const int sums = TakeExchanged(chunk, kSlopes);
        if (number_ == 0) AddBiasGradient(chunk, sums, s_.padded_hidden, HiddenBias());
        AddKernelGradient(chunk, Transposed(Inputs(), SliceStride()), s_.slice,
                          Straight(exchanged_, EncoderStride()), s_.padded_hidden, Encoder());
      }
    });
  }

  // What the gradients are to be multiplied by: they are of a scaled loss, and may be clipped. Also
  // whether all are finite, where the loss is scaled.
  TFAE_DEVICE float Factor(int step, float loss_scale, bool& finite) {
    if (!Half::kScalesLoss && s_.clip_norm <= 0) return 1.0f;
    float sum = 0;
    // All blocks have the same hidden biases.
    block_.ForEach(block_.index == 0 ? Size() : HiddenBias(), [&](int i) {
      const float gradient = Gradients()[i] / loss_scale;
      sum += gradient * gradient;
    });
    sum = block_.Sum(sum, sums_);
    const uint32_t flag = step % 2 == 0;
    if (block_.IsFirstThread()) Hand(s_.squares + block_.index, sum, flag);
    sum = 0;
    block_.ForEach(block_.count, [&](int block) { sum += Take(s_.squares + block, flag); });
    sum = block_.Sum(sum, sums_);
    finite = !Half::kScalesLoss || IsFinite(sum);
    const float norm = sqrtf(sum);
    if (s_.clip_norm <= 0) return 1.0f / loss_scale;
    // What is not finite stays so, as in TensorFlow: it must not pass for a small step.
    const float clipped = IsFinite(norm) ? s_.clip_norm / fmaxf(norm, s_.clip_norm) : NAN;
    return clipped / loss_scale;
  }

  TFAE_DEVICE void Update(int step, float factor) {
    const float rate = s_.rates[step], decay = s_.decays ? s_.decays[step] : 0.0f;
    block_.ForEach(Size(), [&](int i) {  // the padding, too, whose gradients are 0
      // All is read before any of it is written, so that it is waited for together.
      const float value = own_[i], gradient = Gradients()[i] * factor;
      float first = own_[Size() + i], second = own_[2 * Size() + i];
      own_[i] = value - value * decay - Step(static_cast<Optimizer>(s_.optimizer), s_.constants,
                                             rate, gradient, first, second);
      own_[Size() + i] = first;
      own_[2 * Size() + i] = second;
    });
    block_.Sync();
    if (!InSlices()) Round();
  }

  TFAE_DEVICE static void Adapt(LossScale& scale, bool finite) {
    if (!finite) {
      scale = {scale.value / 2, 0, scale.skipped_steps + 1};
    } else if (++scale.good_steps == kGrowthSteps) {
      scale.value *= 2;
      scale.good_steps = 0;
    }
  }

  TFAE_DEVICE void WriteLoss(double loss) {
    loss = block_.Sum(loss, reinterpret_cast<double*>(sums_));
    if (block_.IsFirstThread()) s_.losses[block_.index] = loss;
  }

  const Block& block_;
  const Settings& s_;
  uint16_t* const encoder_;   // rounded, [slice, hidden]
  uint16_t* const decoder_;   // rounded, [hidden, slice]
  uint16_t* const exchanged_;  // of a chunk, rounded: hidden activations, then their slopes
  uint16_t* const slopes_;     // of a chunk, rounded: the outputs'
  float* const sums_;          // for sums on the way
  float* const own_;
  const int share_begin_, share_end_;  // of the quads of [batch, hidden]
  float* const hidden_slopes_;         // of the share's activations
  int number_, first_, pixels_;  // the slice: which, where it begins, how many pixels it has
  const int32_t* order_ = nullptr;  // of the batch
  int count_ = 0;                   // its rows
  int buffer_ = 0;
};

}  // namespace tfae::gpu

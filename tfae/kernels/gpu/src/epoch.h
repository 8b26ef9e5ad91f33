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

#include "gradients.h"
#include "outputs.h"
#include "slices.h"
#include "update.h"

namespace tfae::gpu {

constexpr int kQuadsAtOnce = 64, kParts = kThreads / kQuadsAtOnce;  // of a share that is summed
static_assert(kQuadsAtOnce * kParts == kThreads);  // as much room as plan.py leaves for them
constexpr uint32_t kActivations = 1, kSlopes = 0;  // flags
template <typename Half, typename T>
class Epoch : private Slices {
 public:
  TFAE_DEVICE Epoch(const Block& block, const Settings& settings)
      : Slices(block, settings), encoder_(At<uint16_t>(s_.at_encoder)),
        decoder_(At<uint16_t>(s_.at_decoder)), exchanged_(At<uint16_t>(s_.at_exchanged)),
        slopes_(At<uint16_t>(s_.at_slopes)), sums_(At<float>(s_.at_sums)),
        share_begin_(Quads(s_.batch) * block.index / block.count),
        share_end_(Quads(s_.batch) * (block.index + 1) / block.count),
        hidden_slopes_(share_end_ - share_begin_ <= kQuadsAtOnce
                           ? At<float>(s_.at_share)
                           : s_.hidden_slopes + share_begin_ * 4) {}

  TFAE_DEVICE void Run() {
    const LossScale given = LossScale::Given(s_);
    LossScale scale = LossScale::First(given, Half::kScalesLoss);
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
      if (Half::kScalesLoss) scale.Adapt(finite);
    }
    Exchange(false);
    WriteLoss(loss);
    if (block_.index == 0 && block_.IsFirstThread()) (Half::kScalesLoss ? scale : given).Write(s_);
  }

 private:
  TFAE_DEVICE static Matrix<kByRows> Straight(const uint16_t* data, int stride) {
    return {data, stride};
  }
  TFAE_DEVICE static Matrix<kByColumns> Transposed(const uint16_t* data, int stride) {
    return {data, stride};
  }
  TFAE_DEVICE int Quads(int rows) const { return rows * s_.padded_hidden / 4; }

  TFAE_DEVICE int EncoderStride() const { return s_.padded_hidden + kSkew; }  // and exchanged_'s
  TFAE_DEVICE int SliceStride() const { return s_.slice + kSkew; }  // of all others

  // The inputs of a batch [chunk, slice], in one of two buffers.
  TFAE_DEVICE float* Raw() const {
    return At<float>(s_.at_raw) + buffer_ * s_.chunk * SliceStride();
  }
  TFAE_DEVICE uint16_t* Inputs() const {
    return At<uint16_t>(s_.at_inputs) + buffer_ * s_.chunk * SliceStride();
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
  TFAE_DEVICE bool Reloads() const { return InChunks() || InSlices(); }
  TFAE_DEVICE int Rows(int chunk) const { return Least(s_.chunk, count_ - chunk); }
  TFAE_DEVICE int RowTiles(int chunk) const { return Padded(Rows(chunk)) / kTile; }
  TFAE_DEVICE static int Padded(int rows) { return (rows + kTile - 1) / kTile * kTile; }

  // This slice's inputs of the rows from `chunk` on: as floats, and rounded.
  TFAE_DEVICE void Load(int chunk) {
    LoadRows<Half, T>(block_, s_, order_ + chunk, Rows(chunk), first_, pixels_, Raw(), Inputs());
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
            PutRounded<Half>(to + row * EncoderStride(), quad);
          });
      TFAE_ONE_BY_ONE for (int row = rows > start ? rows - start : 0; row < kRows; ++row) {
        PutRounded<Half>(to + row * EncoderStride(), Quad());
      }
      *reinterpret_cast<Quad*>(sums_ + at * s_.padded_hidden + unit) = sum;
    });
    block_.Sync();
    return sums;
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

  TFAE_DEVICE void AddGradient(int chunk, Matrix<kByColumns> left, int m, Matrix<kByRows> right,
                               int n, int at) {
    // The loss was the last to need the inputs as floats.
    AddKernelGradient<Half>(block_, left, m, right, n, RowTiles(chunk), chunk == 0, Raw(),
                            s_.chunk * SliceStride(), Gradients() + at);
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
      const int at = row * SliceStride() + pixel;
      PutSlopes<Half>(s_, tile, Raw() + at, own_ + OutputBias() + pixel, SliceStride(), rows - row,
                      pixels_ - pixel, upstream, loss, slopes_ + at);
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
    AddBiasGradient(block_, sums_, RowTiles(chunk), s_.slice, chunk == 0,
                    Gradients() + OutputBias());
    AddGradient(chunk, Transposed(exchanged_, EncoderStride()), s_.padded_hidden,
                Straight(slopes_, SliceStride()), s_.slice, Decoder());
  }

  // The encoder's gradient, and the hidden biases'.
  TFAE_DEVICE void EncoderGradient() {
    ForEachSlice([&] {
      for (int chunk = 0; chunk < count_; chunk += s_.chunk) {
        if (Reloads()) Load(chunk);
        const int sums = TakeExchanged(chunk, kSlopes);
        if (number_ == 0) {
          AddBiasGradient(block_, sums_, sums, s_.padded_hidden, chunk == 0,
                          Gradients() + HiddenBias());
        }
        AddGradient(chunk, Transposed(Inputs(), SliceStride()), s_.slice,
                    Straight(exchanged_, EncoderStride()), s_.padded_hidden, Encoder());
      }
    });
  }

  TFAE_DEVICE float Factor(int step, float loss_scale, bool& finite) {
    if (!NeedsFactor<Half>(s_)) return 1.0f;
    float squares = 0;
    // All blocks have the same hidden biases.
    block_.ForEach(block_.index == 0 ? Size() : HiddenBias(), [&](int i) {
      const float gradient = Gradients()[i] / loss_scale;
      squares += gradient * gradient;
    });
    return FactorOf<Half>(block_, s_, squares, sums_, step % 2 == 0, loss_scale, finite);
  }

  TFAE_DEVICE void Update(int step, float factor) {
    block_.ForEach(Size(), [&](int i) {  // the padding, too, whose gradients are 0
      // All is read before any of it is written, so that it is waited for together.
      const float value = own_[i], gradient = Gradients()[i] * factor;
      float first = own_[Size() + i], second = own_[2 * Size() + i];
      own_[i] = UpdatedValue(s_, step, value, gradient, first, second);
      own_[Size() + i] = first;
      own_[2 * Size() + i] = second;
    });
    block_.Sync();
    if (!InSlices()) Round();
  }

  TFAE_DEVICE void WriteLoss(double loss) {
    loss = block_.Sum(loss, reinterpret_cast<double*>(sums_));
    if (block_.IsFirstThread()) s_.losses[block_.index] = loss;
  }

  uint16_t* const encoder_;   // rounded, [slice, hidden]
  uint16_t* const decoder_;   // rounded, [hidden, slice]
  uint16_t* const exchanged_;  // of a chunk, rounded: hidden activations, then their slopes
  uint16_t* const slopes_;     // of a chunk, rounded: the outputs'
  float* const sums_;          // for sums on the way
  const int share_begin_, share_end_;  // of the quads of [batch, hidden]
  float* const hidden_slopes_;         // of the share's activations
  const int32_t* order_ = nullptr;  // of the batch
  int count_ = 0;                   // its rows
  int buffer_ = 0;
};

}  // namespace tfae::gpu

// Whole epochs of an autoencoder with one hidden layer, in one launch, split in two dimensions:
// clusters have some rows of every batch, and the blocks of a cluster some pixels of these rows.
//
// Every block keeps its pixels' weights, rounded for the products, and owns a share of them with
// their slots: the clusters' blocks with the same pixels, a column, share these out. A step is four
// ways from block to block, two of them short:
//   1. hidden pre-activations are sums over the pixels, so over the blocks of a cluster, which write
//      their parts into each other's shared memory;
//   2. so are their slopes;
//   3. gradients are sums over the rows, so over the clusters: whoever owns a weight takes its
//      gradient's parts from the blocks of the column, through the device's memory,
//   4. and hands them the new weight.
// All sums are made in a fixed order, so that results are reproducible to the bit. The hidden biases
// are not shared out: every block has all of them and makes the same of the same gradients.
//
// A place carries one number a step, and its flags take turns step by step. It is free when its
// number is read. In shared memory: a block hands its part of the pre-activations of the next step
// only after it has all parts of the slopes of this one, which the others handed when they had read
// those of the pre-activations; of the slopes, after the next pre-activations. In the device's
// memory: a gradient is handed only after all weights of the step before were taken, which owners
// handed when they had read the gradients' parts; a weight, after all parts of its gradient were
// taken, which came from blocks that had the weight before.
#pragma once

#include "column.h"
#include "outputs.h"

namespace tfae::gpu {

constexpr int kDepthParts = 4;  // of a product's depth, which warps share

template <typename Half, typename T>
class ClusterEpoch : private Column<Half> {
 public:
  TFAE_DEVICE ClusterEpoch(const Block& block, const Cluster& cluster, const Settings& settings)
      : Column<Half>(block, cluster, settings), places_(this->template At<float>(s_.at_places)),
        hidden_(this->template At<uint16_t>(s_.at_exchanged)),
        hidden_slopes_(this->template At<float>(s_.at_share)),
        slopes_(this->template At<uint16_t>(s_.at_slopes)),
        sums_(this->template At<float>(s_.at_sums)) {}

  TFAE_DEVICE void Run() {
    const LossScale given = LossScale::Given(s_);
    LossScale scale = LossScale::First(given, Half::kScalesLoss);
    Begin();
    double loss = 0;
    int updates = 0;
    for (int start = 0, step = 0; start < s_.row_count; start += s_.batch, ++step) {
      const int batch_rows = Between(s_.row_count - start, 0, s_.batch);
      const uint32_t flag = step % 2 == 0;
      const float upstream = scale.value / (static_cast<float>(batch_rows) * s_.features);
      buffer_ = step % 2;
      if (step == 0) Load(start);
      rows_ = RowsFrom(start);
      Encode(flag);
      if (updates > 0) TakeWeights(false, FlagOf(updates - 1));
      Activate(flag);
      loss += Decode(upstream, flag);
      DecoderGradient(flag);
      LoadNext(start + s_.batch);  // while the slopes are on their way
      TakeSlopes(flag);
      EncoderGradient(flag);
      bool finite = true;
      const float factor = TakeGradients(flag, scale.value, finite, updates);
      if (NeedsFactor<Half>(s_) && finite) UpdateAll(updates, factor);
      if (finite && start + s_.batch < s_.row_count) TakeWeights(true, FlagOf(updates));
      if (finite) ++updates;
      if (Half::kScalesLoss) scale.Adapt(finite);
    }
    End(loss, Half::kScalesLoss ? scale : given);
  }

 private:
  using Base = Column<Half>;
  using Base::Between, Base::FlagOf, Base::block_, Base::cluster_, Base::s_;
  using Base::encoder_, Base::decoder_, Base::output_bias_, Base::first_pixel_, Base::pixels_;
  using Base::own_begin_, Base::Own, Base::OwnQuads, Base::AtHiddenBias, Base::HiddenBias;
  using Base::Size, Base::Decoder, Base::OutputBias;
  using Base::Gradients, Base::BiasGradients, Base::TakeWeights, Base::Update, Base::Updated;

  TFAE_DEVICE int HiddenStride() const { return s_.padded_hidden + kSkew; }
  TFAE_DEVICE int SliceStride() const { return s_.slice + kSkew; }
  TFAE_DEVICE int SumStride() const { return s_.padded_hidden + 4; }  // other banks, whole quads
  TFAE_DEVICE int HiddenQuads() const { return s_.chunk * s_.padded_hidden / 4; }
  TFAE_DEVICE float* Raw() const {
    return this->template At<float>(s_.at_raw) + buffer_ * s_.chunk * SliceStride();
  }
  TFAE_DEVICE uint16_t* Inputs() const {
    return this->template At<uint16_t>(s_.at_inputs) + buffer_ * s_.chunk * SliceStride();
  }
  TFAE_DEVICE int RowTiles() const { return (rows_ + kTile - 1) / kTile; }

  // Where the blocks of the cluster hand their parts of [chunk, hidden], of two kinds.
  TFAE_DEVICE float* Places(bool of_slopes, int rank) const {
    return places_ + ((of_slopes ? cluster_.size : 0) + rank) * HiddenQuads() * 4;
  }

  TFAE_DEVICE void Begin() {
    block_.ForEach(2 * cluster_.size * HiddenQuads(), [&](int i) {
      reinterpret_cast<Quad*>(places_)[i] = Quad();  // nothing was handed
    });
    this->Read();
    cluster_.Sync();  // from now on others write here
  }

  TFAE_DEVICE void End(double loss, const LossScale& scale) {
    this->Write();
    loss = block_.Sum(loss, reinterpret_cast<double*>(sums_));
    if (block_.IsFirstThread()) s_.losses[block_.index] = loss;
    if (block_.index == 0 && block_.IsFirstThread()) scale.Write(s_);
    cluster_.Sync();  // until then
  }

  // How many rows of the batch that begins at row `start` are the cluster's.
  TFAE_DEVICE int RowsFrom(int start) const {
    const int batch_rows = Between(s_.row_count - start, 0, s_.batch);
    return Between(batch_rows - cluster_.index * s_.chunk, 0, s_.chunk);
  }
  TFAE_DEVICE void Load(int start) {
    LoadRows<Half, T>(block_, s_, s_.order + start + cluster_.index * s_.chunk, RowsFrom(start),
                      first_pixel_, pixels_, Raw(), Inputs());
  }
  TFAE_DEVICE void LoadNext(int start) {
    if (start >= s_.row_count) return;
    buffer_ ^= 1;
    Load(start);
    buffer_ ^= 1;
  }

  // Hands the block's part of [rows, hidden], the product of left [rows, slice] and
  // right [slice, hidden], to the blocks of the cluster. It has few tiles, so that warps share the
  // depth of each.
  template <Order kRight>
  TFAE_DEVICE void HandProduct(const uint16_t* left, Matrix<kRight> right, bool of_slopes,
                               uint32_t flag) {
    const int columns = s_.padded_hidden / kTile, tiles = RowTiles() * columns;
    const int steps = s_.slice / kTile, quads = RowTiles() * kTile * s_.padded_hidden / 4;
    if (tiles == 0) return;
    const Divisor by_tiles(tiles), by_columns(columns);
    const int parts = Between(by_tiles.Quotient(kWarps), 1, steps < kDepthParts ? steps : kDepthParts);
    const Divisor by_parts(parts);
    block_.ForEachByWarp(tiles * parts, [&](int item) {
      const int part = by_tiles.Quotient(item), at = by_tiles.Remainder(item);
      const int i = by_columns.Quotient(at) * kTile, j = by_columns.Remainder(at) * kTile;
      const int begin = by_parts.Quotient(steps * part) * kTile;
      const int end = by_parts.Quotient(steps * (part + 1)) * kTile;
      Tile tile;
      MultiplyAdd<Half>(tile, Matrix<kByRows>{left, SliceStride()}.From(i, begin),
                        right.From(begin, j), end - begin);
      tile.ForEachPair([&](int r, int c, float first, float second) {
        float* put = sums_ + (part * s_.chunk + i + r) * SumStride() + j + c;
        *reinterpret_cast<Pair*>(put) = {first, second};
      });
    });
    block_.Sync();
    const Divisor by_quads(quads), by_hidden(s_.padded_hidden / 4);
    block_.ForEach(cluster_.size * quads, [&](int i) {
      const int q = by_quads.Remainder(i), after = by_quads.Quotient(i) + cluster_.rank;
      const int row = by_hidden.Quotient(q), unit = by_hidden.Remainder(q) * 4;
      Quad sum = {};
      for (int part = 0; part < parts; ++part) {
        const float* from = sums_ + (part * s_.chunk + row) * SumStride() + unit;
        const Quad& quad = *reinterpret_cast<const Quad*>(from);
        for (int j = 0; j < 4; ++j) sum.at[j] += quad.at[j];
      }
      const int to = after < cluster_.size ? after : after - cluster_.size;
      cluster_.Hand(to, Places(of_slopes, cluster_.rank) + q * 4, sum, flag);
    });
    block_.Sync();
  }

  // Calls f(row, unit, sum) for four units from `unit` on of each row, with the sums of all parts.
  template <typename F>
  TFAE_DEVICE void TakeProduct(bool of_slopes, uint32_t flag, F f) {
    const Divisor by_hidden(s_.padded_hidden / 4);
    block_.ForEach(RowTiles() * kTile * s_.padded_hidden / 4, [&](int q) {
      Quad sum = {};
      TakeQuads<8, Shared>(Places(of_slopes, 0) + q * 4, HiddenQuads() * 4, cluster_.size, flag,
                           [&](int, const Quad& part) {
                             for (int j = 0; j < 4; ++j) sum.at[j] += part.at[j];
                           });
      f(by_hidden.Quotient(q), by_hidden.Remainder(q) * 4, sum);
    });
    block_.Sync();
  }

  TFAE_DEVICE void Encode(uint32_t flag) {
    HandProduct(Inputs(), Matrix<kByRows>{encoder_, HiddenStride()}, false, flag);
  }

  // Whether a unit of a row is no padding.
  TFAE_DEVICE bool IsOne(int row, int unit) const { return row < rows_ && unit < s_.hidden; }

  TFAE_DEVICE void Activate(uint32_t flag) {
    const auto activation = static_cast<Activation>(s_.activation);
    TakeProduct(false, flag, [&](int row, int unit, const Quad& sum) {
      Quad values, slopes;
      for (int j = 0; j < 4; ++j) {
        const float z = sum.at[j] + HiddenBias(0)[unit + j];
        const float value = tfae::gpu::Activate(activation, z);
        values.at[j] = IsOne(row, unit + j) ? value : 0.0f;
        slopes.at[j] = SlopeOf(activation, z, value);
      }
      PutRounded<Half>(hidden_ + row * HiddenStride() + unit, values);
      *reinterpret_cast<Quad*>(hidden_slopes_ + row * SumStride() + unit) = slopes;
    });
  }

  // The outputs, their loss, and the block's part of the hidden slopes. Returns this thread's part
  // of the sum of the loss.
  TFAE_DEVICE double Decode(float upstream, uint32_t flag) {
    float loss = 0;
    block_.ForEachTile(RowTiles(), s_.slice / kTile, [&](int i, int j) {
      const int row = i * kTile, pixel = j * kTile;
      Tile tile;
      MultiplyAdd<Half>(tile, Matrix<kByRows>{hidden_, HiddenStride()}.From(row, 0),
                        Matrix<kByRows>{decoder_, SliceStride()}.From(0, pixel), s_.padded_hidden);
      const int at = row * SliceStride() + pixel;
      PutSlopes<Half>(s_, tile, Raw() + at, output_bias_ + pixel, SliceStride(), rows_ - row,
                      pixels_ - pixel, upstream, loss, slopes_ + at);
      tile.ForEachColumnSum([&](int c, float sum) { BiasSums()[i * s_.slice + pixel + c] = sum; });
    });
    block_.Sync();
    HandProduct(slopes_, Matrix<kByColumns>{decoder_, SliceStride()}, true, flag);
    return loss;
  }
  // Of the output biases' gradients [row tiles, slice], behind what HandProduct puts to sums_.
  TFAE_DEVICE float* BiasSums() const { return sums_ + kDepthParts * s_.chunk * SumStride(); }

  // Hands the product of left [m, rows] and right [rows, n] to the owners of a kernel.
  TFAE_DEVICE void HandKernelGradient(const uint16_t* left, int left_stride, int m,
                                      const uint16_t* right, int right_stride, int n, float* to,
                                      uint32_t flag) {
    block_.ForEachTile(m / kTile, n / kTile, [&](int i, int j) {
      Tile tile;
      MultiplyAdd<Half>(tile, Matrix<kByColumns>{left, left_stride}.From(i * kTile, 0),
                        Matrix<kByRows>{right, right_stride}.From(0, j * kTile),
                        RowTiles() * kTile);
      tile.ForEachPair([&](int r, int c, float first, float second) {
        HandPair(to + (i * kTile + r) * n + j * kTile + c, first, second, flag);
      });
    });
  }

  TFAE_DEVICE void DecoderGradient(uint32_t flag) {
    float* to = Gradients(cluster_.index);
    HandKernelGradient(hidden_, HiddenStride(), s_.padded_hidden, slopes_, SliceStride(), s_.slice,
                       to + Decoder(), flag);
    block_.ForEach(s_.slice, [&](int pixel) {
      float sum = 0;
      for (int i = 0; i < RowTiles(); ++i) sum += BiasSums()[i * s_.slice + pixel];
      Hand(to + OutputBias() + pixel, sum, flag);
    });
    block_.Sync();
  }

  // The hidden slopes, rounded, in the place of the activations, and their biases' gradients.
  TFAE_DEVICE void TakeSlopes(uint32_t flag) {
    TakeProduct(true, flag, [&](int row, int unit, const Quad& sum) {
      Quad& slopes = *reinterpret_cast<Quad*>(hidden_slopes_ + row * SumStride() + unit);
      for (int j = 0; j < 4; ++j) {
        slopes.at[j] = IsOne(row, unit + j) ? sum.at[j] * slopes.at[j] : 0.0f;
      }
      PutRounded<Half>(hidden_ + row * HiddenStride() + unit, slopes);
    });
    block_.ForEachByWarp(s_.padded_hidden, [&](int unit) {
      const float sum = block_.SumByWarp(RowTiles() * kTile, [&](int row) {
        return hidden_slopes_[row * SumStride() + unit];
      });
      if (block_.IsFirstOfWarp()) Hand(BiasGradients(cluster_.index) + unit, sum, flag);
    });
  }
  TFAE_DEVICE void EncoderGradient(uint32_t flag) {
    HandKernelGradient(Inputs(), SliceStride(), s_.slice, hidden_, HiddenStride(),
                       s_.padded_hidden, Gradients(cluster_.index), flag);
  }

  // Takes the gradients of what the block owns, and updates it, unless they need a factor first:
  // then returns it, and whether they are finite.
  TFAE_DEVICE float TakeGradients(uint32_t flag, float loss_scale, bool& finite, int update) {
    float squares = 0;
    block_.ForEach(s_.padded_hidden / 4, [&](int q) {
      Quad sum = SumOverClusters(BiasGradients(0) + q * 4, s_.padded_hidden, flag);
      *reinterpret_cast<Quad*>(HiddenBias(kKinds) + q * 4) = sum;
      for (float gradient : sum.at) {
        if (block_.index == 0) squares += Square(gradient / loss_scale);
      }
    });
    if (!NeedsFactor<Half>(s_)) UpdateHiddenBiases(update, 1.0f);
    block_.Sync();  // all were taken before a weight is handed
    block_.ForEach(OwnQuads(), [&](int q) {
      Quad sum = SumOverClusters(Gradients(0) + (own_begin_ + q) * 4, Size(), flag);
      if (!NeedsFactor<Half>(s_)) return Update(q, sum, update);
      *reinterpret_cast<Quad*>(Own(kKinds) + q * 4) = sum;
      for (float gradient : sum.at) squares += Square(gradient / loss_scale);
    });
    block_.Sync();
    if (!NeedsFactor<Half>(s_)) return 1.0f;
    return FactorOf<Half>(block_, s_, squares, sums_, flag, loss_scale, finite);
  }
  TFAE_DEVICE static float Square(float value) { return value * value; }

  TFAE_DEVICE Quad SumOverClusters(const float* from, int stride, uint32_t flag) {
    Quad sum = {};
    TakeQuads<8, Global>(from, stride, cluster_.count, flag, [&](int, const Quad& part) {
      for (int j = 0; j < 4; ++j) sum.at[j] += part.at[j];
    });
    return sum;
  }

  TFAE_DEVICE void UpdateAll(int update, float factor) {
    UpdateHiddenBiases(update, factor);
    block_.ForEach(OwnQuads(), [&](int q) {
      Quad gradients = *reinterpret_cast<const Quad*>(Own(kKinds) + q * 4);
      for (float& gradient : gradients.at) gradient *= factor;
      Update(q, gradients, update);
    });
    block_.Sync();
  }

  TFAE_DEVICE void UpdateHiddenBiases(int update, float factor) {
    block_.ForEach(s_.padded_hidden / 4, [&](int q) {
      Quad gradients = *reinterpret_cast<const Quad*>(HiddenBias(kKinds) + q * 4);
      for (float& gradient : gradients.at) gradient *= factor;
      Updated(AtHiddenBias() + q * 4, gradients, update);
    });
  }

  float* const places_;
  uint16_t* const hidden_;       // rounded, [rows, hidden]: activations, then their slopes
  float* const hidden_slopes_;   // [rows, hidden]: the activation's slopes, then the loss'
  uint16_t* const slopes_;       // rounded, [rows, slice]: the outputs'
  float* const sums_;            // for sums on the way
  int rows_ = 0;                        // of the batch, the cluster's
  int buffer_ = 0;
};

}  // namespace tfae::gpu

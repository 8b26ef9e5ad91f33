// What a block of a column has: its pixels' weights for the products, and its share of them to own.
#pragma once

#include "cluster.h"
#include "inputs.h"
#include "settings.h"
#include "update.h"

namespace tfae::gpu {

// A column's parameters, one after the other: the encoder [slice, hidden], the decoder
// [hidden, slice] and the pixels' biases. Every block of the column has them all where the products
// read them, rounded but for the biases; a share, whole quads, it owns. And all hidden biases.
template <typename Half>
class Column {
 protected:
  TFAE_DEVICE Column(const Block& block, const Cluster& cluster, const Settings& settings)
      : block_(block), cluster_(cluster), s_(settings), encoder_(At<uint16_t>(s_.at_encoder)),
        decoder_(At<uint16_t>(s_.at_decoder)), output_bias_(At<float>(s_.at_output_bias)),
        own_(At<float>(s_.at_own)), first_pixel_(cluster.rank * s_.slice),
        pixels_(Between(s_.features - first_pixel_, 0, s_.slice)),
        own_begin_(Quads() * cluster.index / cluster.count),
        own_end_(Quads() * (cluster.index + 1) / cluster.count) {}

  TFAE_DEVICE static int Between(int n, int low, int high) {
    return n < low ? low : (n > high ? high : n);
  }
  // Weights are handed once an update, of which there may be fewer than steps.
  TFAE_DEVICE static uint32_t FlagOf(int update) { return update % 2 == 0; }
  template <typename U>
  TFAE_DEVICE U* At(int byte) const {
    return reinterpret_cast<U*>(block_.shared + byte);
  }

  TFAE_DEVICE int KernelSize() const { return s_.slice * s_.padded_hidden; }
  TFAE_DEVICE int Decoder() const { return KernelSize(); }
  TFAE_DEVICE int OutputBias() const { return 2 * KernelSize(); }
  TFAE_DEVICE int Size() const { return 2 * KernelSize() + s_.slice; }
  TFAE_DEVICE int Quads() const { return Size() / 4; }
  TFAE_DEVICE int OwnQuads() const { return own_end_ - own_begin_; }
  // Of the block's own: values, both slots and gradients of its share, then of the hidden biases.
  TFAE_DEVICE float* Own(int kind) const { return own_ + kind * s_.own; }
  TFAE_DEVICE int AtHiddenBias() const { return s_.own - s_.padded_hidden; }
  TFAE_DEVICE float* HiddenBias(int kind) const { return Own(kind) + AtHiddenBias(); }

  // Where clusters hand gradients [clusters, Size()] to the owners in this column, the owners
  // weights [Size()] to it, and the clusters the hidden biases' gradients [clusters, hidden].
  TFAE_DEVICE float* Gradients(int cluster) const {
    return s_.gradients + (static_cast<size_t>(cluster_.rank) * cluster_.count + cluster) * Size();
  }
  TFAE_DEVICE float* Weights() const {
    return s_.weights + static_cast<size_t>(cluster_.rank) * Size();
  }
  TFAE_DEVICE float* BiasGradients(int cluster) const {
    return s_.bias_gradients +
           (cluster_.rank * cluster_.count + cluster) * s_.padded_hidden;
  }
  // Of a parameter of the column: its tensor, and where it is in that; -1 where it is padding.
  struct Position {
    int tensor, at;
  };
  TFAE_DEVICE Position PositionOf(int i) const {
    if (i < Decoder()) {
      const Divisor by(s_.padded_hidden);
      const int pixel = by.Quotient(i), unit = by.Remainder(i);
      return {0, pixel < pixels_ && unit < s_.hidden ? (first_pixel_ + pixel) * s_.hidden + unit
                                                     : -1};
    }
    if (i < OutputBias()) {
      const Divisor by(s_.slice);
      const int unit = by.Quotient(i - Decoder()), pixel = by.Remainder(i - Decoder());
      return {2, pixel < pixels_ && unit < s_.hidden ? unit * s_.features + first_pixel_ + pixel
                                                     : -1};
    }
    const int pixel = i - OutputBias();
    return {3, pixel < pixels_ ? first_pixel_ + pixel : -1};
  }

  // Puts four parameters of the column, from i on, where the products read them.
  TFAE_DEVICE void PutWeights(int i, const Quad& quad) {
    if (i < Decoder()) {
      const Divisor by(s_.padded_hidden);
      PutRounded<Half>(encoder_ + i + by.Quotient(i) * kSkew, quad);
    } else if (i < OutputBias()) {
      const Divisor by(s_.slice);
      const int j = i - Decoder();
      PutRounded<Half>(decoder_ + j + by.Quotient(j) * kSkew, quad);
    } else {
      *reinterpret_cast<Quad*>(output_bias_ + i - OutputBias()) = quad;
    }
  }

  TFAE_DEVICE float Given(int kind, const Position& position) const {
    return position.at < 0 ? 0.0f : s_.given[kind][position.tensor][position.at];
  }

  // Reads what the block needs of the parameters and slots.
  TFAE_DEVICE void Read() {
    block_.ForEach(Quads(), [&](int q) {
      Quad quad;
      for (int j = 0; j < 4; ++j) quad.at[j] = Given(0, PositionOf(q * 4 + j));
      PutWeights(q * 4, quad);
    });
    for (int kind = 0; kind < kKinds; ++kind) {
      block_.ForEach(OwnQuads() * 4, [&](int i) {
        Own(kind)[i] =
            kind <= s_.slots ? Given(kind, PositionOf(own_begin_ * 4 + i)) : 0.0f;
      });
      block_.ForEach(s_.padded_hidden, [&](int unit) {
        HiddenBias(kind)[unit] =
            kind <= s_.slots && unit < s_.hidden ? s_.given[kind][1][unit] : 0.0f;
      });
    }
    block_.Sync();
  }

  // Writes back what it owns.
  TFAE_DEVICE void Write() {
    for (int kind = 0; kind <= s_.slots; ++kind) {
      block_.ForEach(OwnQuads() * 4, [&](int i) {
        const Position position = PositionOf(own_begin_ * 4 + i);
        if (position.at >= 0) s_.tensors[kind][position.tensor][position.at] = Own(kind)[i];
      });
      if (block_.index == 0) {
        block_.ForEach(s_.hidden, [&](int unit) {
          s_.tensors[kind][1][unit] = HiddenBias(kind)[unit];
        });
      }
    }
  }

  // Updates a quad of the share, and hands its weights to the blocks of the column.
  TFAE_DEVICE void Update(int q, const Quad& gradients, int update) {
    HandQuad(Weights() + (own_begin_ + q) * 4, Updated(q * 4, gradients, update), FlagOf(update));
  }
  TFAE_DEVICE Quad Updated(int i, const Quad& gradients, int update) {
    Quad& values = *reinterpret_cast<Quad*>(Own(0) + i);
    Quad& first = *reinterpret_cast<Quad*>(Own(1) + i);
    Quad& second = *reinterpret_cast<Quad*>(Own(2) + i);
    for (int j = 0; j < 4; ++j) {
      values.at[j] = UpdatedValue(s_, update, values.at[j], gradients.at[j], first.at[j],
                                  second.at[j]);
    }
    return values;
  }

  // Takes the column's new weights: the encoder's, or the decoder's with the biases.
  TFAE_DEVICE void TakeWeights(bool of_encoder, uint32_t flag) {
    const int begin = of_encoder ? 0 : Decoder() / 4, end = of_encoder ? Decoder() / 4 : Quads();
    block_.ForEachSeries(end - begin, [&](int first, int step, int count) {
      TakeQuads<2>(Weights() + (begin + first) * 4, step * 4, count, flag,
                   [&](int i, const Quad& quad) {
                     PutWeights((begin + first + i * step) * 4, quad);
                   });
    });
    block_.Sync();
  }

  const Block& block_;
  const Cluster& cluster_;
  const Settings& s_;
  uint16_t* const encoder_;             // rounded, [slice, hidden]
  uint16_t* const decoder_;             // rounded, [hidden, slice]
  float* const output_bias_;            // [slice]
  float* const own_;
  const int first_pixel_, pixels_;      // where the block's begin, how many there are
  const int own_begin_, own_end_;       // of the column's quads, what the block owns
};

}  // namespace tfae::gpu

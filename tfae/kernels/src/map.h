// What is done element by element: a chunk of numbers at a time, in registers that lie in the
// nearest cache, by a list of operations that is read once a chunk.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "functions.h"

namespace tfae {

constexpr int kChunk = 256;        // numbers of a register
constexpr int kMapRegisters = 96;  // of each kind: floats, and whole numbers

inline Vec Where(Ints mask, Vec yes, Vec no) {
  return FromBits((Bits(yes) & mask) | (Bits(no) & ~mask));
}
inline Vec Truth(Ints mask) { return FromBits(Bits(Broadcast(1.0f)) & mask); }
inline Ints Holds(Vec truth) { return truth != 0.0f; }

// e^x of any number, within 2 units in the last place.
inline Vec ExpOfAny(Vec x) {
  const Vec bounded = Min(Max(x, Broadcast(-87.0f)), Broadcast(88.8f));
  const Vec n = (bounded * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounded: 1.5 * 2^23
  const Vec f = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;    // less n ln 2, in two parts
  Vec p = Broadcast(1.9875691500e-4f);
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  // 2^128 is none, but 2^127 twice.
  const Vec power = TimesPowerOf2(p * f * f + f + 1.0f, Min(n, Broadcast(127.0f))) *
                    Where(n > 127.0f, Broadcast(2.0f), Broadcast(1.0f));
  const Vec large = Where(x > 88.72f, Broadcast(INFINITY), power);
  return Where(x < -87.33f, Vec{}, large);
}

// ln x; below 0 it is none, of 0 it is minus infinity.
inline Vec LogOfAny(Vec x) {
  const Vec log = Where(x > 3.4e38f, x, Log(Max(x, Broadcast(1.17549435e-38f))));
  return Where(x > 0.0f, log, Where(x == 0.0f, Broadcast(-INFINITY), Broadcast(NAN)));
}

inline Vec Each(float (*function)(float), Vec x) {
  for (int lane = 0; lane < kLanes; ++lane) x[lane] = function(x[lane]);
  return x;
}
inline Vec Each(float (*function)(float, float), Vec a, Vec b) {
  for (int lane = 0; lane < kLanes; ++lane) a[lane] = function(a[lane], b[lane]);
  return a;
}

inline Vec Softplus(Vec x) { return Max(x, Vec{}) + LogOnePlus(ExpOfAny(-Abs(x))); }
inline float Floored(float a, float b) { return std::floor(a / b); }
inline float Modulo(float a, float b) {
  const float rest = std::fmod(a, b);
  return rest != 0.0f && (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
}
inline int64_t Floored(int64_t a, int64_t b) {
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)) ? 1 : 0);
}

// The operations, by the names that Python knows them by, with what they give of x, of a and b, or
// of a, b and c. A truth is 0 or 1.
#define TFAE_UNARY(OP)                                  \
  OP(neg, -x)                                           \
  OP(abs, Abs(x))                                       \
  OP(sign, Truth(x > 0.0f) - Truth(x < 0.0f))           \
  OP(square, x * x)                                     \
  OP(sqrt, Sqrt(x))                                     \
  OP(rsqrt, 1.0f / Sqrt(x))                             \
  OP(reciprocal, 1.0f / x)                              \
  OP(exp, ExpOfAny(x))                                  \
  OP(log, LogOfAny(x))                                  \
  OP(log1p, Each(std::log1p, x))                        \
  OP(log1p_of_positive, LogOnePlus(x))                  \
  OP(expm1, Each(std::expm1, x))                        \
  OP(tanh, Tanh::Value(x))                              \
  OP(sigmoid, Sigmoid(x))                               \
  OP(softplus, Softplus(x))                             \
  OP(relu, Max(x, Vec{}))                               \
  OP(elu, Elu::Value(x))                                \
  OP(selu, Selu::Value(x))                              \
  OP(erf, Each(std::erf, x))                            \
  OP(erfc, Each(std::erfc, x))                          \
  OP(lgamma, Each(std::lgamma, x))                      \
  OP(sin, Each(std::sin, x))                            \
  OP(cos, Each(std::cos, x))                            \
  OP(floor, Each(std::floor, x))                        \
  OP(ceil, Each(std::ceil, x))                          \
  OP(round, Each(std::nearbyint, x))                    \
  OP(not, Truth(x == 0.0f))                             \
  OP(is_nan, Truth(x != x))                             \
  OP(is_finite, Truth(Abs(x) < INFINITY))
#define TFAE_BINARY(OP)                                                     \
  OP(add, a + b)                                                            \
  OP(sub, a - b)                                                            \
  OP(mul, a * b)                                                            \
  OP(div, a / b)                                                            \
  OP(div_no_nan, Where(b == 0.0f, Vec{}, a / b))                            \
  OP(mul_no_nan, Where(b == 0.0f, Vec{}, a * b))                            \
  OP(pow, Each(std::pow, a, b))                                             \
  OP(max, Max(b, a))                                                        \
  OP(min, Min(b, a))                                                        \
  OP(floor_div, Each(Floored, a, b))                                        \
  OP(floor_mod, Each(Modulo, a, b))                                         \
  OP(less, Truth(a < b))                                                    \
  OP(less_equal, Truth(a <= b))                                             \
  OP(greater, Truth(a > b))                                                 \
  OP(greater_equal, Truth(a >= b))                                          \
  OP(equal, Truth(a == b))                                                  \
  OP(not_equal, Truth(a != b))                                              \
  OP(and, Truth(Holds(a) & Holds(b)))                                       \
  OP(or, Truth(Holds(a) | Holds(b)))                                        \
  OP(if_positive, Where(b > 0.0f, a, Vec{}))                                \
  OP(sigmoid_slope, a * b * (1.0f - b))                                     \
  OP(tanh_slope, a * (1.0f - b * b))                                        \
  OP(elu_slope, Where(b < 0.0f, a * (b + 1.0f), a))                         \
  OP(selu_slope, a * Where(b < 0.0f, b + Selu::kScale * Selu::kAlpha, Broadcast(Selu::kScale)))
// Of whole numbers of 64 bits.
#define TFAE_WHOLE(OP)                \
  OP(whole_add, a + b)                \
  OP(whole_sub, a - b)                \
  OP(whole_mul, a * b)                \
  OP(whole_floor_div, b ? Floored(a, b) : 0)        \
  OP(whole_floor_mod, b ? a - b * Floored(a, b) : 0) \
  OP(whole_max, std::max(a, b))       \
  OP(whole_min, std::min(a, b))       \
  OP(whole_and, a & b)                \
  OP(whole_or, a | b)                 \
  OP(whole_xor, a ^ b)
#define TFAE_WHOLE_TRUTH(OP)       \
  OP(whole_less, a < b)            \
  OP(whole_less_equal, a <= b)     \
  OP(whole_greater, a > b)         \
  OP(whole_greater_equal, a >= b)  \
  OP(whole_equal, a == b)          \
  OP(whole_not_equal, a != b)
// And those with operands of both kinds.
#define TFAE_MIXED(OP) \
  OP(select)           \
  OP(to_float)
#define TFAE_TO_WHOLE(OP) \
  OP(whole_select)     \
  OP(to_whole)         \
  OP(bits)             \
  OP(to_32_bits)       \
  OP(to_unsigned_32_bits)

enum MapCode {
#define OP(name, ...) k_##name,
  TFAE_UNARY(OP) TFAE_BINARY(OP) TFAE_MIXED(OP) TFAE_WHOLE_TRUTH(OP) TFAE_WHOLE(OP) TFAE_TO_WHOLE(OP)
#undef OP
};

// In the order of the codes.
constexpr const char kMapNames[] =
#define OP(name, ...) #name ","
    TFAE_UNARY(OP) TFAE_BINARY(OP) TFAE_MIXED(OP) TFAE_WHOLE_TRUTH(OP) TFAE_WHOLE(OP) TFAE_TO_WHOLE(OP);
#undef OP

// What an operand or a result is to the elements [rows, columns]: one for each, one for all, one a
// column, one a row.
enum class Spread { kFull, kScalar, kRow, kColumn };
enum class Fold { kSum, kMax, kMin, kProduct };

struct MapOp {
  int32_t code, to, a, b, c;
};
struct MapLoad {
  int32_t to, whole, spread, from;
};
struct MapStore {
  int32_t from, whole, to;
};
// Where `spread` is kScalar of all elements, kRow of each column, kColumn of each row.
struct MapFold {
  int32_t from, kind, spread, to;
};

inline float FoldStart(Fold kind) {
  switch (kind) {
    case Fold::kMax: return -INFINITY;
    case Fold::kMin: return INFINITY;
    case Fold::kProduct: return 1.0f;
    default: return 0.0f;
  }
}
inline float Folded(Fold kind, float a, float b) {
  switch (kind) {
    case Fold::kMax: return b > a || b != b ? b : a;
    case Fold::kMin: return b < a || b != b ? b : a;
    case Fold::kProduct: return a * b;
    default: return a + b;
  }
}

// Of a whole run of numbers: sums in lanes, and those in double.
inline double FoldedRun(Fold kind, const float* values, int count) {
  if (kind == Fold::kSum) {
    Vec sums[2] = {};
    int i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
      sums[0] += Load(values + i);
      sums[1] += Load(values + i + kLanes);
    }
    double sum = 0;
    const Vec both = sums[0] + sums[1];
    for (int lane = 0; lane < kLanes; ++lane) sum += both[lane];
    for (; i < count; ++i) sum += values[i];
    return sum;
  }
  float result = FoldStart(kind);
  for (int i = 0; i < count; ++i) result = Folded(kind, result, values[i]);
  return result;
}

// One list of operations over elements [rows, columns].
struct Map {
  int32_t rows, columns;
  const MapLoad* loads;
  const MapOp* ops;
  const MapStore* stores;
  const MapFold* folds;
  int32_t load_count, op_count, store_count, fold_count;
};

// Registers of one thread.
class MapRegisters {
 public:
  MapRegisters() : floats_(kMapRegisters * kChunk), wholes_(kMapRegisters * kChunk) {}

  // Does the elements from `begin` to `end`, multiples of kLanes but for the last end. What folds
  // gather goes to `scalars` and `column_sums`, in double: one each for kScalar, one a column for
  // kRow. Rows' own are written where they belong.
  void Run(const Map& map, float* memory, int64_t begin, int64_t end, double* scalars,
           double* const* column_sums) {
    SpreadScalars(map, memory, static_cast<int>(std::min<int64_t>(kChunk, end - begin)));
    for (int64_t at = begin; at < end; at += kChunk) {
      const int count = static_cast<int>(std::min<int64_t>(kChunk, end - at));
      Fill(map, memory, at, count);
      for (int i = 0; i < map.op_count; ++i) Execute(map.ops[i], count);
      for (int i = 0; i < map.store_count; ++i) {
        const MapStore& store = map.stores[i];
        if (store.whole) {
          std::memcpy(Whole(memory + store.to) + at, whole_[store.from], count * sizeof(int64_t));
        } else {
          std::memcpy(memory + store.to + at, float_[store.from], count * sizeof(float));
        }
      }
      for (int i = 0; i < map.fold_count; ++i) {
        Gather(map, map.folds[i], memory, at, count, scalars + i, column_sums[i]);
      }
    }
  }

 private:
  static int64_t* Whole(float* at) { return reinterpret_cast<int64_t*>(at); }
  float* FloatOf(int r) { return floats_ + static_cast<size_t>(r) * kChunk; }
  int64_t* WholeOf(int r) { return wholes_ + static_cast<size_t>(r) * kChunk; }

  // Operands that are one for all elements.
  void SpreadScalars(const Map& map, float* memory, int count) {
    for (int i = 0; i < kMapRegisters; ++i) {
      float_[i] = FloatOf(i), whole_[i] = WholeOf(i), mask_[i] = -1;
    }
    for (int i = 0; i < map.load_count; ++i) {
      const MapLoad& load = map.loads[i];
      if (static_cast<Spread>(load.spread) != Spread::kScalar) continue;
      if (load.whole) {
        std::fill_n(WholeOf(load.to), count, *Whole(memory + load.from));
      } else {
        Store(FloatOf(load.to), Broadcast(memory[load.from]));
        mask_[load.to] = 0;
      }
    }
  }

  void Fill(const Map& map, float* memory, int64_t at, int count) {
    for (int i = 0; i < map.load_count; ++i) {
      const MapLoad& load = map.loads[i];
      const Spread spread = static_cast<Spread>(load.spread);
      if (spread == Spread::kScalar) continue;
      if (spread == Spread::kFull) {  // where it lies
        if (load.whole) {
          whole_[load.to] = Whole(memory + load.from) + at;
        } else {
          float_[load.to] = memory + load.from + at;
        }
      } else if (load.whole) {
        Segments(map, at, count, [&](int64_t row, int64_t column, int first, int run) {
          int64_t* to = WholeOf(load.to) + first;
          const int64_t* from = Whole(memory + load.from);
          if (spread == Spread::kRow) {
            std::memcpy(to, from + column, run * sizeof(int64_t));
          } else {
            std::fill_n(to, run, from[row]);
          }
        });
      } else {
        Segments(map, at, count, [&](int64_t row, int64_t column, int first, int run) {
          float* to = FloatOf(load.to) + first;
          const float* from = memory + load.from;
          if (spread == Spread::kRow) {
            std::memcpy(to, from + column, run * sizeof(float));
          } else {
            std::fill_n(to, run, from[row]);
          }
        });
      }
    }
  }

  // Calls each(row, column, first, run) for the runs of a chunk that lie in one row.
  template <typename F>
  static void Segments(const Map& map, int64_t at, int count, F each) {
    int64_t row = at / map.columns, column = at % map.columns;
    for (int first = 0; first < count;) {
      const int run = static_cast<int>(std::min<int64_t>(map.columns - column, count - first));
      each(row, column, first, run);
      first += run;
      column = 0;
      ++row;
    }
  }

  void Gather(const Map& map, const MapFold& fold, float* memory, int64_t at, int count,
              double* scalar, double* columns) {
    const Fold kind = static_cast<Fold>(fold.kind);
    if (mask_[fold.from] == 0) {  // one for all
      std::fill_n(FloatOf(fold.from) + kLanes, kChunk - kLanes, *FloatOf(fold.from));
    }
    const float* values = float_[fold.from];
    if (static_cast<Spread>(fold.spread) == Spread::kScalar) {
      const double run = FoldedRun(kind, values, count);
      *scalar = kind == Fold::kSum ? *scalar + run
                                   : Folded(kind, static_cast<float>(*scalar), run);
      return;
    }
    const bool of_columns = static_cast<Spread>(fold.spread) == Spread::kRow;
    Segments(map, at, count, [&](int64_t row, int64_t column, int first, int run) {
      const float* from = values + first;
      if (!of_columns) {
        float& to = memory[fold.to + row];
        const float part = static_cast<float>(FoldedRun(kind, from, run));
        to = column == 0 ? part : Folded(kind, to, part);
        return;
      }
      double* to = columns + column;
      if (kind == Fold::kSum) {
        for (int j = 0; j < run; ++j) to[j] += from[j];
      } else {
        for (int j = 0; j < run; ++j) to[j] = Folded(kind, static_cast<float>(to[j]), from[j]);
      }
    });
  }

  void Execute(const MapOp& op, int count) {
    const float *a = float_[op.a], *b = float_[op.b], *c = float_[op.c];
    const int64_t *m = whole_[op.a], *n = whole_[op.b], *o = whole_[op.c];
    // Of an operand that is one for all elements there is one vector.
    const int of_a = mask_[op.a], of_b = mask_[op.b], of_c = mask_[op.c];
    float* to = FloatOf(op.to);
    int64_t* whole_to = WholeOf(op.to);
    if (op.code < k_whole_add) {  // the register may have been an operand's
      float_[op.to] = to;
    } else {
      whole_[op.to] = whole_to;
    }
    switch (op.code) {
#define OP(name, expression)                     \
  case k_##name:                                 \
    for (int i = 0; i < count; i += kLanes) {    \
      const Vec x = Load(a + (i & of_a));        \
      Store(to + i, expression);                 \
    }                                            \
    break;
      TFAE_UNARY(OP)
#undef OP
#define OP(name, expression)                            \
  case k_##name:                                        \
    [](const float* left, const float* right, int of_a, int of_b, float* to, int count) { \
      for (int i = 0; i < count; i += kLanes) {         \
        const Vec a = Load(left + (i & of_a)), b = Load(right + (i & of_b)); \
        Store(to + i, expression);                      \
      }                                                 \
    }(a, b, of_a, of_b, to, count);                     \
    break;
      TFAE_BINARY(OP)
#undef OP
#define OP(name, expression)                              \
  case k_##name:                                          \
    for (int i = 0; i < count; ++i) {                     \
      const int64_t a = m[i], b = n[i];                   \
      whole_to[i] = expression;                           \
    }                                                     \
    break;
      TFAE_WHOLE(OP)
#undef OP
#define OP(name, expression)                              \
  case k_##name:                                          \
    for (int i = 0; i < count; ++i) {                     \
      const int64_t a = m[i], b = n[i];                   \
      to[i] = expression;                                 \
    }                                                     \
    break;
      TFAE_WHOLE_TRUTH(OP)
#undef OP
      case k_select:
        for (int i = 0; i < count; i += kLanes) {
          Store(to + i, Where(Holds(Load(a + (i & of_a))), Load(b + (i & of_b)),
                              Load(c + (i & of_c))));
        }
        break;
      case k_whole_select:
        for (int i = 0; i < count; ++i) whole_to[i] = a[i & of_a] != 0.0f ? n[i] : o[i];
        break;
      case k_to_float:
        for (int i = 0; i < count; ++i) to[i] = static_cast<float>(m[i]);
        break;
      case k_to_whole:
        for (int i = 0; i < count; ++i) whole_to[i] = static_cast<int64_t>(a[i & of_a]);
        break;
      case k_bits:
        for (int i = 0; i < count; ++i) {
          int32_t bits;
          std::memcpy(&bits, a + (i & of_a), sizeof bits);
          whole_to[i] = bits;
        }
        break;
      case k_to_32_bits:
        for (int i = 0; i < count; ++i) whole_to[i] = static_cast<int32_t>(m[i]);
        break;
      case k_to_unsigned_32_bits:
        for (int i = 0; i < count; ++i) whole_to[i] = static_cast<uint32_t>(m[i]);
        break;
    }
  }

  Floats floats_;
  Array<int64_t> wholes_;
  const float* float_[kMapRegisters];
  const int64_t* whole_[kMapRegisters];
  int mask_[kMapRegisters];  // of floats: all ones, or 0
};

}  // namespace tfae

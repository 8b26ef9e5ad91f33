// A step as a list of instructions over one memory, run for every batch of an epoch.
#pragma once

#include <stdexcept>
#include <string>

#include "map.h"
#include "matmul.h"
#include "random.h"
#include "threads.h"

namespace tfae {

// What an instruction begins with: {kind, length of all in words, whether all threads share it}.
// Offsets are in floats; whole numbers take two.
enum class Instruction { kMap, kMatmul, kRows, kRandom, kArgMax, kCopy, kTranspose, kGather, kScatter, kMiddle };
constexpr int kHead = 3;

// Rows that an epoch gathers its batches from.
struct Table {
  enum Type { kFloat, kByte, kInt32, kInt64 } type;
  const void* data;
};

class Program {
 public:
  // `code`: {rows of a batch, then the instructions}.
  Program(const int32_t* code, size_t length) : code_(code), length_(length) {}

  int batch_rows() const { return code_[0]; }

  // Calls each(instruction's words) for all.
  template <typename F>
  void Each(F each) const {
    for (size_t at = 1; at < length_; at += code_[at + 1]) each(code_ + at);
  }

  bool IsShared() const {
    bool shared = false;
    Each([&](const int32_t* words) { shared |= words[2] != 0; });
    return shared;
  }

 private:
  const int32_t* code_;
  size_t length_;
};

// What the threads have in common while an epoch runs.
class Team {
 public:
  Team(int threads, float* memory, const std::vector<Table>& tables, const int32_t* order,
       size_t most_columns, size_t most_folds)
      : threads_(threads), memory_(memory), tables_(tables), order_(order), barrier_(threads),
        most_folds_(std::max<size_t>(most_folds, 1)), most_columns_(most_columns),
        scalars_(threads * most_folds_), columns_(threads * most_folds_ * most_columns) {}

  // One thread's part of the batch whose rows begin at `first` of the order.
  class Member {
   public:
    Member(Team& team, int thread) : team_(team), thread_(thread) {}

    void Run(const Program& program, int64_t first) {
      program.Each([&](const int32_t* words) {
        const int32_t* at = words + kHead;
        if (words[2] == 0 || team_.threads_ == 1) {
          Meet(false);
          if (thread_ == 0) Do(static_cast<Instruction>(words[0]), at, first, 0, 1);
          return;
        }
        team_.barrier_.Wait();
        waits_ = true;
        Do(static_cast<Instruction>(words[0]), at, first, thread_, team_.threads_);
      });
    }

    // After the last instruction of a batch or before one that a thread does alone.
    void Meet(bool always) {
      if ((waits_ || always) && team_.threads_ > 1) team_.barrier_.Wait();
      waits_ = false;
    }

   private:
    void Do(Instruction kind, const int32_t* at, int64_t first, int part, int parts) {
      switch (kind) {
        case Instruction::kMap: return DoMap(at, part, parts);
        case Instruction::kMatmul: return DoMatmul(at, part, parts);
        case Instruction::kRows: return DoRows(at, first, part, parts);
        case Instruction::kRandom: return DoRandom(at, part, parts);
        case Instruction::kArgMax: return DoArgMax(at);
        case Instruction::kCopy: return DoCopy(at);
        case Instruction::kTranspose: return DoTranspose(at);
        case Instruction::kGather: return DoGather(at);
        case Instruction::kScatter: return DoScatter(at);
        case Instruction::kMiddle: return DoMiddle(at);
      }
    }

    // {rows, columns, loads, ops, stores, folds, then each of these}
    void DoMap(const int32_t* at, int part, int parts) {
      Map map{at[0], at[1]};
      map.load_count = at[2], map.op_count = at[3];
      map.store_count = at[4], map.fold_count = at[5];
      map.loads = reinterpret_cast<const MapLoad*>(at + 6);
      map.ops = reinterpret_cast<const MapOp*>(map.loads + map.load_count);
      map.stores = reinterpret_cast<const MapStore*>(map.ops + map.op_count);
      map.folds = reinterpret_cast<const MapFold*>(map.stores + map.store_count);
      const int64_t all = static_cast<int64_t>(map.rows) * map.columns;
      int64_t unit = kLanes;
      for (int i = 0; i < map.fold_count; ++i) {
        if (static_cast<Spread>(map.folds[i].spread) != Spread::kScalar) unit = map.columns;
      }
      const int64_t units = (all + unit - 1) / unit;
      const int64_t begin = units * part / parts * unit;
      const int64_t end = std::min(all, units * (part + 1) / parts * unit);
      double* scalars = team_.Scalars(part);
      double* columns[kMapRegisters];
      for (int i = 0; i < map.fold_count; ++i) {
        const float start = FoldStart(static_cast<Fold>(map.folds[i].kind));
        scalars[i] = start;
        columns[i] = team_.Columns(part, i);
        if (static_cast<Spread>(map.folds[i].spread) == Spread::kRow) {
          std::fill_n(columns[i], map.columns, start);
        }
      }
      if (begin < end) registers_.Run(map, team_.memory_, begin, end, scalars, columns);
      if (map.fold_count == 0) return;
      if (parts > 1) Meet(true);
      if (thread_ == 0) Combine(map, parts);
    }

    void Combine(const Map& map, int parts) {
      for (int i = 0; i < map.fold_count; ++i) {
        const MapFold& fold = map.folds[i];
        const Fold kind = static_cast<Fold>(fold.kind);
        float* to = team_.memory_ + fold.to;
        if (static_cast<Spread>(fold.spread) == Spread::kScalar) {
          double all = team_.Scalars(0)[i];
          for (int part = 1; part < parts; ++part) {
            const double other = team_.Scalars(part)[i];
            all = kind == Fold::kSum ? all + other
                                     : Folded(kind, static_cast<float>(all), other);
          }
          *to = static_cast<float>(all);
        } else if (static_cast<Spread>(fold.spread) == Spread::kRow) {
          double* all = team_.Columns(0, i);
          for (int part = 1; part < parts; ++part) {
            const double* from = team_.Columns(part, i);
            for (int j = 0; j < map.columns; ++j) {
              all[j] = kind == Fold::kSum
                           ? all[j] + from[j]
                           : Folded(kind, static_cast<float>(all[j]), static_cast<float>(from[j]));
            }
          }
          std::copy_n(all, map.columns, to);
        }
      }
    }

    // {rows, columns, depth, transposed a, transposed b, a, b, c}
    void DoMatmul(const int32_t* at, int part, int parts) {
      float* memory = team_.memory_;
      const Matmul m{memory + at[5], memory + at[6], memory + at[7], at[0], at[1],
                     at[2],          at[3] != 0,     at[4] != 0};
      constexpr int kStrip = MatmulBuffers::kStrip;
      const int strips = (m.columns + kStrip - 1) / kStrip;
      Range rows{0, m.rows}, columns{0, m.columns};
      if (strips >= 2 * parts || m.rows < strips) {
        columns = {strips * part / parts * kStrip,
                   std::min(m.columns, strips * (part + 1) / parts * kStrip)};
      } else {
        const int tiles = (m.rows + kTileRows - 1) / kTileRows;
        rows = {tiles * part / parts * kTileRows,
                std::min(m.rows, tiles * (part + 1) / parts * kTileRows)};
      }
      if (rows.begin < rows.end && columns.begin < columns.end) buffers_.Run(m, rows, columns);
    }

    // {table, rows, columns, whether whole numbers, to}
    void DoRows(const int32_t* at, int64_t first, int part, int parts) {
      const Table& table = team_.tables_[at[0]];
      const int rows = at[1], columns = at[2];
      for (int row = static_cast<int64_t>(rows) * part / parts;
           row < static_cast<int64_t>(rows) * (part + 1) / parts; ++row) {
        const int64_t from = static_cast<int64_t>(team_.order_[first + row]) * columns;
        float* to = team_.memory_ + at[4] + static_cast<int64_t>(row) * columns * (at[3] ? 2 : 1);
        switch (table.type) {
          case Table::kFloat:
            std::copy_n(static_cast<const float*>(table.data) + from, columns, to);
            break;
          case Table::kByte: Convert(static_cast<const uint8_t*>(table.data) + from, columns, at[3], to); break;
          case Table::kInt32: Convert(static_cast<const int32_t*>(table.data) + from, columns, at[3], to); break;
          case Table::kInt64: Convert(static_cast<const int64_t*>(table.data) + from, columns, at[3], to); break;
        }
      }
    }

    template <typename T>
    static void Convert(const T* from, int columns, bool whole, float* to) {
      if (whole) {
        std::copy_n(from, columns, reinterpret_cast<int64_t*>(to));
      } else {
        std::copy_n(from, columns, to);
      }
    }

    // {count, whether normal, seed, to}
    void DoRandom(const int32_t* at, int part, int parts) {
      const int64_t* seed = reinterpret_cast<const int64_t*>(team_.memory_ + at[2]);
      const Philox philox(seed[0], seed[1]);
      const int64_t count = at[0], groups = (count + Philox::kGroup - 1) / Philox::kGroup;
      const int64_t begin = groups * part / parts, end = groups * (part + 1) / parts;
      float* to = team_.memory_ + at[3];
      if (at[1]) {
        philox.Normal(begin, end, count, to);
      } else {
        philox.Uniform(begin, end, count, to);
      }
    }

    // {rows, columns, from, to}: the first of the largest in each row, as whole numbers.
    void DoArgMax(const int32_t* at) {
      const float* from = team_.memory_ + at[2];
      int64_t* to = reinterpret_cast<int64_t*>(team_.memory_ + at[3]);
      for (int row = 0; row < at[0]; ++row, from += at[1]) {
        to[row] = std::max_element(from, from + at[1]) - from;
      }
    }

    // {rows, columns, from, from's stride, to, to's stride}, in floats
    void DoCopy(const int32_t* at) {
      const float* from = team_.memory_ + at[2];
      float* to = team_.memory_ + at[4];
      for (int row = 0; row < at[0]; ++row, from += at[3], to += at[5]) {
        std::copy_n(from, at[1], to);
      }
    }

    // {rows, columns, from, to}: to[columns, rows]
    void DoTranspose(const int32_t* at) {
      const float* from = team_.memory_ + at[2];
      float* to = team_.memory_ + at[3];
      for (int row = 0; row < at[0]; ++row) {
        for (int column = 0; column < at[1]; ++column) {
          to[static_cast<size_t>(column) * at[0] + row] = from[static_cast<size_t>(row) * at[1] + column];
        }
      }
    }

    // {indices, columns, rows of the table, table, indices, to}
    void DoGather(const int32_t* at) {
      for (int i = 0; i < at[0]; ++i) {
        const int64_t row = Index(at, i);
        std::copy_n(team_.memory_ + at[3] + row * at[1], at[1],
                    team_.memory_ + at[5] + static_cast<int64_t>(i) * at[1]);
      }
    }

    // {rows, columns, rows of the table, rows, indices, to}: each added to its row of the table.
    void DoScatter(const int32_t* at) {
      float* table = team_.memory_ + at[5];
      std::fill_n(table, static_cast<int64_t>(at[1]) * at[2], 0.0f);
      for (int i = 0; i < at[0]; ++i) {
        const float* from = team_.memory_ + at[3] + static_cast<int64_t>(i) * at[1];
        float* to = table + Index(at, i) * at[1];
        for (int j = 0; j < at[1]; ++j) to[j] += from[j];
      }
    }

    // {rows, between, columns, fold, from, to}: to[rows, columns] of from[rows, between, columns].
    void DoMiddle(const int32_t* at) {
      const Fold kind = static_cast<Fold>(at[3]);
      const float* from = team_.memory_ + at[4];
      float* to = team_.memory_ + at[5];
      for (int row = 0; row < at[0]; ++row, to += at[2]) {
        std::fill_n(to, at[2], FoldStart(kind));
        for (int i = 0; i < at[1]; ++i, from += at[2]) {
          for (int j = 0; j < at[2]; ++j) to[j] = Folded(kind, to[j], from[j]);
        }
      }
    }

    int64_t Index(const int32_t* at, int i) {
      const int64_t row = reinterpret_cast<const int64_t*>(team_.memory_ + at[4])[i];
      if (0 <= row && row < at[2]) return row;
      team_.bad_index_ = row, team_.bad_count_ = at[2];
      return 0;
    }

    Team& team_;
    const int thread_;
    bool waits_ = false;
    MapRegisters registers_;
    MatmulBuffers buffers_;
  };

  // Throws where an index was none of its table's.
  void Check() const {
    if (bad_count_ == 0) return;
    throw std::out_of_range("the index " + std::to_string(bad_index_) + " is none of 0 to " +
                            std::to_string(bad_count_ - 1));
  }

 private:
  double* Scalars(int part) { return scalars_ + part * most_folds_; }
  double* Columns(int part, int fold) {
    return columns_ + (part * most_folds_ + fold) * most_columns_;
  }

  const int threads_;
  float* const memory_;
  const std::vector<Table>& tables_;
  const int32_t* const order_;
  Barrier barrier_;
  const size_t most_folds_, most_columns_;
  int64_t bad_index_ = 0, bad_count_ = 0;  // of the one thread that gathers and scatters
  Array<double> scalars_, columns_;
};

}  // namespace tfae

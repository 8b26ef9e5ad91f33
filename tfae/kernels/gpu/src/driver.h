// The CUDA driver, through TensorFlow's errors. Nothing of CUDA is linked: its library is opened at
// run time, and its few functions and types are declared here.
#pragma once

#include <dlfcn.h>

#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "block.h"
#include "settings.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/status.h"

namespace tfae::gpu {

using tensorflow::Status;
using tensorflow::errors::Internal;
using tensorflow::errors::NotFound;

// What is launched, and on how many blocks; a tfae.kernels.gpu.plan.Plan says.
struct Launch {
  std::string cubin;  // its path
  int blocks = 0, cluster = 0, shared_bytes = 0;
};

// CUlaunchAttribute and CUlaunchConfig of cuda.h.
struct LaunchAttribute {
  static constexpr unsigned kCooperative = 2, kClusterDimension = 4;
  unsigned id, padding;
  unsigned value[16];
};
struct LaunchConfig {
  unsigned grid[3], block[3], shared_bytes;
  void* stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};
static_assert(sizeof(LaunchAttribute) == 72 && sizeof(LaunchConfig) == 56, "as in cuda.h");

// The CUDA driver. A function gives 0, or the number of an error.
class Driver {
 public:
  static Driver& Get() {
    static Driver* driver = new Driver;
    return *driver;
  }

  Status Load() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fill_) return tensorflow::OkStatus();
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) return NotFound("there is no CUDA driver: ", dlerror());
    const auto find = [library](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    if (find(error_, "cuGetErrorString") && find(context_of_, "cuStreamGetCtx") &&
        find(push_, "cuCtxPushCurrent_v2") && find(pop_, "cuCtxPopCurrent_v2") &&
        find(load_, "cuModuleLoadData") && find(function_, "cuModuleGetFunction") &&
        find(set_, "cuFuncSetAttribute") && find(launch_, "cuLaunchKernelEx") &&
        find(fill_, "cuMemsetD32Async")) {
      return tensorflow::OkStatus();
    }
    return NotFound("the CUDA driver is too old: ", dlerror());
  }

  // Enters a stream's context, for as long as the object lives.
  class Entered {
   public:
    Entered(Driver& driver, void* stream) : driver_(driver) {
      status = driver.Check(driver.context_of_(stream, &context), "cuStreamGetCtx");
      if (status.ok()) status = driver.Check(driver.push_(context), "cuCtxPushCurrent");
      entered_ = status.ok();
    }
    ~Entered() {
      void* context;
      if (entered_) driver_.pop_(&context);
    }
    Status status;
    void* context = nullptr;

   private:
    Driver& driver_;
    bool entered_ = false;
  };

  // A launch's kernel in the current context.
  Status Kernel(void* context, const Launch& launch, void** kernel) {
    const std::lock_guard<std::mutex> lock(mutex_);
    void*& module = modules_[{context, launch.cubin}];
    if (!module) {
      std::ifstream file(launch.cubin, std::ios::binary);
      const std::string code{std::istreambuf_iterator<char>(file), {}};
      if (!file || code.empty()) return NotFound("there is no ", launch.cubin);
      TF_RETURN_IF_ERROR(Check(load_(&module, code.data()), "cuModuleLoadData"));
    }
    TF_RETURN_IF_ERROR(
        Check(function_(kernel, module, "tfae_epoch"), "cuModuleGetFunction"));
    constexpr int kMaxDynamicSharedBytes = 8;
    return Check(set_(*kernel, kMaxDynamicSharedBytes, launch.shared_bytes), "cuFuncSetAttribute");
  }

  // All blocks run at once, those of a cluster side by side.
  Status Run(void* kernel, const Launch& launch, void* stream, const Settings& settings) {
    LaunchAttribute attributes[2] = {};
    attributes[0].id = LaunchAttribute::kCooperative;
    attributes[0].value[0] = 1;
    attributes[1].id = LaunchAttribute::kClusterDimension;
    attributes[1].value[0] = launch.cluster;
    attributes[1].value[1] = attributes[1].value[2] = 1;
    LaunchConfig config = {};
    config.grid[0] = launch.blocks;
    config.grid[1] = config.grid[2] = config.block[1] = config.block[2] = 1;
    config.block[0] = kThreads;
    config.shared_bytes = launch.shared_bytes;
    config.stream = stream;
    config.attributes = attributes;
    config.attribute_count = launch.cluster > 1 ? 2 : 1;
    void* arguments[] = {const_cast<Settings*>(&settings)};
    return Check(launch_(&config, kernel, arguments, nullptr), "cuLaunchKernelEx");
  }

  // So many 32-bit words become 0.
  Status Clear(void* numbers, int64_t count, void* stream) {
    if (count == 0) return tensorflow::OkStatus();
    return Check(fill_(reinterpret_cast<uint64_t>(numbers), 0, count, stream), "cuMemsetD32Async");
  }

 private:
  Status Check(int code, const char* call) {
    if (code == 0) return tensorflow::OkStatus();
    const char* words = nullptr;
    error_(code, &words);
    return Internal(call, ": ", words ? words : "error", " (", code, ")");
  }

  int (*error_)(int, const char**);
  int (*context_of_)(void*, void**);
  int (*push_)(void*);
  int (*pop_)(void**);
  int (*load_)(void**, const void*);
  int (*function_)(void**, void*, const char*);
  int (*set_)(void*, int, int);
  int (*launch_)(const LaunchConfig*, void*, void**, void**);
  int (*fill_)(uint64_t, unsigned, size_t, void*) = nullptr;  // the last one to be found
  std::mutex mutex_;
  std::map<std::pair<void*, std::string>, void*> modules_;
};

}  // namespace tfae::gpu

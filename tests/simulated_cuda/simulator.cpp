// CUDA's runtime and driver, as far as gpuio's GPU path calls them through CuPy, on host memory.
//
// Streams are threads, so queued work really runs later and beside the host, each piece delayed at
// random. Device memory is filled with a pattern when it is allocated and when it is freed. What
// CUDA would refuse or crash on is an error here: copies that leave their allocation, handles that
// are no more, kernels that the compiled module does not hold. Kernels run as host code.
#include "streams.h"
#include "memory.h"

// The device ------------------------------------------------------------------------------------

static int attribute(int which) {
  switch (which) {
    case 1: case 2: case 3: return 1024;     // threads a block, and along x and y
    case 4: return 64;
    case 5: return 2147483647;               // blocks along x
    case 6: case 7: return 65535;
    case 8: return 49152;                    // shared memory a block
    case 10: return 32;
    case 16: return 132;                     // multiprocessors
    case 75: return 9;
    case 76: return 0;
    default: return 0;
  }
}
API int sim_cudaGetDeviceCount(int* count) { return *count = DEVICES, OK; }
API int sim_cudaGetDevice(int* device) { return *device = current, OK; }
API int sim_cudaSetDevice(int device) {
  if (device < 0 || device >= DEVICES) return fail(101, "no such device");
  return current = device, OK;
}
API int sim_cudaDeviceGetAttribute(int* value, int which, int) {
  return *value = attribute(which), OK;
}
API int sim_cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, OK; }
API int sim_cudaDriverGetVersion(int* version) { return *version = 13000, OK; }
API int sim_cudaRuntimeGetVersion(int* version) { return *version = 13000, OK; }
API int sim_cudaGetLastError() { return OK; }
API int sim_cudaPeekAtLastError() { return OK; }
static const char* name_of(int status) {
  switch (status) {
    case OK: return "cudaSuccess";
    case NO_MEMORY: return "cudaErrorMemoryAllocation";
    case NOT_READY: return "cudaErrorNotReady";
    case ILLEGAL_ADDRESS: return "cudaErrorIllegalAddress";
    case NOT_SUPPORTED: return "cudaErrorNotSupported";
    default: return "cudaErrorInvalidValue";
  }
}
API const char* sim_cudaGetErrorName(int status) { return name_of(status); }
API const char* sim_cudaGetErrorString(int status) {
  return status == NO_MEMORY ? "out of memory" : name_of(status);
}

// The driver ------------------------------------------------------------------------------------

struct Module {
  std::string code;
  int device;
};
struct Function {
  std::string name;
  int device;
  void* kernel;
};
static void* kernels;
static void (*host_launch)(void*, void*, unsigned, unsigned, unsigned, unsigned);
static auto& functions = *new std::map<std::pair<std::string, int>, Function*>;
static int contexts[DEVICES];

static std::atomic<bool> halted{false};  // streams in `halt`, a minute at most

static void halt() {
  for (int ms = 0; halted && ms < 60000; ms++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}
static void spin(uint64_t cycles) {
  std::this_thread::sleep_for(std::chrono::nanoseconds(cycles / 2));
}

API int cuInit(unsigned) {
  Dl_info caller;  // NVRTC would ask for tables that nobody has described; it works without a driver
  bool compiler = dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "nvrtc");
  return compiler ? 100 : OK;
}
API int cuDriverGetVersion(int* version) { return *version = 13000, OK; }
API int cuDeviceGetCount(int* count) { return *count = DEVICES, OK; }
API int cuDeviceGet(int* device, int number) { return *device = number, OK; }
API int cuDeviceGetName(char* name, int size, int) {
  return snprintf(name, size, "simulated"), OK;
}
API int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = room, OK; }
API int cuDeviceGetAttribute(int* value, int which, int) { return *value = attribute(which), OK; }
API int cuGetErrorString(int status, const char** text) { return *text = name_of(status), OK; }
API int cuGetErrorName(int status, const char** text) { return *text = name_of(status), OK; }
API int cuCtxGetCurrent(void** made) { return *made = &contexts[current], OK; }
API int cuCtxSetCurrent(int* context) { return current = context - contexts, OK; }
API int cuCtxGetDevice(int* device) { return *device = current, OK; }
API int cuDevicePrimaryCtxRetain(void** made, int device) { return *made = &contexts[device], OK; }
API int cuDevicePrimaryCtxRelease_v2(int) { return OK; }

API int cuModuleLoadData(Module** made, const char* code) {
  if (memcmp(code, "\177ELF", 4)) return fail(BAD_IMAGE, "a module that is no machine code");
  uint64_t sections = *(const uint64_t*)(code + 40);  // what follows the headers of the sections
  uint64_t size = sections + *(const uint16_t*)(code + 58) * *(const uint16_t*)(code + 60);
  uint64_t segments = *(const uint64_t*)(code + 32);
  size = std::max(size, segments + *(const uint16_t*)(code + 54) * *(const uint16_t*)(code + 56));
  *made = new Module{std::string(code, size), current};
  return OK;
}
API int cuModuleLoadDataEx(Module** made, const char* code, unsigned, void*, void*) {
  return cuModuleLoadData(made, code);
}
API int cuModuleUnload(Module*) { return OK; }
API int cuModuleGetFunction(Function** made, Module* module, const char* name) {
  if (module->code.find(std::string(".text.") + name + '\0') == std::string::npos)
    return fail(NOT_FOUND, std::string("the module has no kernel ") + name);
  void* kernel = !strcmp(name, "spin") ? (void*)spin : kernels ? dlsym(kernels, name) : nullptr;
  if (!kernel) return fail(NOT_FOUND, std::string("no host code for the kernel ") + name);
  std::lock_guard<std::mutex> held(lock);
  Function*& function = functions[{name, module->device}];
  if (!function) function = new Function{name, module->device, kernel};
  *made = function;
  return OK;
}
API int cuFuncGetAttribute(int* value, int, void*) { return *value = 0, OK; }
API int cuFuncSetAttribute(void*, int, int) { return OK; }
API int cuLaunchKernel(Function* function, unsigned x, unsigned y, unsigned z, unsigned threads,
                       unsigned threads_y, unsigned threads_z, unsigned, void* stream,
                       void** args, void** extra) {
  uint64_t argument = *(uint64_t*)args[0];  // each of our kernels has one, of eight bytes
  if (!x || !y || !z || y > 65535 || z > 65535 || threads_y != 1 || threads_z != 1 || threads > 1024 || extra)
    return fail(INVALID_VALUE, "a launch of " + function->name + " that CUDA refuses");
  if (function->kernel == (void*)spin) return submit(stream, [=] { spin(argument); });
  {
    std::lock_guard<std::mutex> held(lock);
    auto on = find(stream);
    if (on && on->device != function->device)
      return fail(BAD_HANDLE, function->name + " is of another device than its stream");
    if (!holds(device_blocks, (void*)argument, 1) || device_of((void*)argument) != function->device)
      return fail(ILLEGAL_ADDRESS, function->name + ": its argument is no memory of its device");
  }
  return submit(stream, [=] { host_launch(function->kernel, (void*)argument, x, y, z, threads); });
}

// For the tests ---------------------------------------------------------------------------------

API int sim_unsupported() { return fail(NOT_SUPPORTED, "a call that is not simulated"); }
API int sim_open(const char* path) {
  kernels = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!kernels) return fail(NOT_FOUND, dlerror());
  host_launch = (decltype(host_launch))dlsym(kernels, "host_launch");
  return host_launch ? OK : NOT_FOUND;
}
API void sim_set(unsigned delay, unsigned first_seed, uint64_t bytes) {
  std::lock_guard<std::mutex> held(lock);
  delay_us = delay, seed = first_seed, room = bytes;
}
API void sim_counts(uint64_t* made, int device) {  // of a device; page-locked blocks of all
  std::lock_guard<std::mutex> held(lock);
  made[0] = used[device], made[1] = peak, made[2] = 0, made[3] = pinned_blocks.size();
  for (auto& [address, block] : device_blocks) made[2] += block.device == device;
  made[4] = legacy[device] ? 1 : 0, made[5] = 0;
  for (auto& [handle, stream] : streams) made[4] += stream->device == device;
  for (Event* event : events) made[5] += event->device == device;
}
API int sim_spin(void* stream, uint64_t cycles) { return submit(stream, [=] { spin(cycles); }); }
API int sim_hold(void* stream) { return halted = true, submit(stream, halt); }
API void sim_let_go() { halted = false; }
API const char* sim_complaint() { return complaint.c_str(); }
API void sim_complain(const char* why) { fail(INVALID_VALUE, why); }
API void sim_forgive() { complaint.clear(); }

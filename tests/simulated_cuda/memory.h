// The simulated CUDA's memory and copies: second part of simulator.cpp.
struct Block {
  size_t size;
  int device;
};
typedef std::map<uintptr_t, Block> Blocks;
static Blocks &device_blocks = *new Blocks, &pinned_blocks = *new Blocks;

static bool holds(const Blocks& blocks, const void* address, size_t size) {
  auto next = blocks.upper_bound((uintptr_t)address);
  if (next == blocks.begin()) return false;
  auto block = std::prev(next);
  return (uintptr_t)address + size <= block->first + block->second.size;
}

static int device_of(const void* address) {  // of memory that `holds`
  return std::prev(device_blocks.upper_bound((uintptr_t)address))->second.device;
}

static int allocate(Blocks& blocks, void** made, size_t size, int pattern) {
  *made = nullptr;
  if (!size) return OK;
  if (posix_memalign(made, 512, size)) return NO_MEMORY;
  memset(*made, pattern, size);
  blocks[(uintptr_t)*made] = {size, current};
  return OK;
}

static int release(Blocks& blocks, void* address) {
  if (!address) return OK;
  auto found = blocks.find((uintptr_t)address);
  if (found == blocks.end()) return fail(BAD_FREE, "frees what is not allocated");
  memset(address, 0xDD, found->second.size);
  blocks.erase(found);
  free(address);
  return OK;
}

API int sim_cudaMalloc(void** made, size_t size) {
  std::lock_guard<std::mutex> held(lock);
  if (used[current] + size > room) return *made = nullptr, NO_MEMORY;
  int status = allocate(device_blocks, made, size, 0xA5);
  if (!status && size) peak = std::max(peak, used[current] += size);
  return status;
}
API int sim_cudaFree(void* address) {
  std::unique_lock<std::mutex> held(lock);
  auto found = device_blocks.find((uintptr_t)address);
  if (found != device_blocks.end()) {
    wait_all(held, found->second.device);  // as the real one does
    used[found->second.device] -= found->second.size;
  }
  return release(device_blocks, address);
}
API int sim_cudaHostAlloc(void** made, size_t size, unsigned) {
  std::lock_guard<std::mutex> held(lock);
  return allocate(pinned_blocks, made, size, 0x5A);
}
API int sim_cudaMallocHost(void** made, size_t size) { return sim_cudaHostAlloc(made, size, 0); }
API int sim_cudaFreeHost(void* address) {
  std::unique_lock<std::mutex> held(lock);
  for (int device = 0; device < DEVICES; device++) wait_all(held, device);
  return release(pinned_blocks, address);
}
API int sim_cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  std::lock_guard<std::mutex> held(lock);
  return *free_bytes = room - used[current], *total = room, OK;
}

enum { TO_HOST = 2, TO_DEVICE = 1, ON_DEVICE = 3, ANY = 4 };

static int copy(void* to, const void* from, size_t size, int kind, void* handle, bool then_wait) {
  if (!size) return OK;
  bool from_device, to_device, from_pinned, to_pinned;
  {
    std::lock_guard<std::mutex> held(lock);
    from_device = holds(device_blocks, from, size), to_device = holds(device_blocks, to, size);
    from_pinned = holds(pinned_blocks, from, size), to_pinned = holds(pinned_blocks, to, size);
  }
  bool wants_from = kind == TO_HOST || kind == ON_DEVICE, wants_to = kind == TO_DEVICE || kind == ON_DEVICE;
  if (kind != ANY && (wants_from != from_device || wants_to != to_device))
    return fail(ILLEGAL_ADDRESS, "a copy of kind " + std::to_string(kind) + " and " +
                                     std::to_string(size) + " bytes leaves its memory");
  std::shared_ptr<std::vector<byte>> staged;
  if (!from_device && !from_pinned) {  // ordinary memory is read before the call returns
    staged = std::make_shared<std::vector<byte>>((const byte*)from, (const byte*)from + size);
    from = staged->data();
  }
  then_wait |= !to_device && !to_pinned;  // and written before it returns
  return submit(handle, [=] { (void)staged, memmove(to, from, size); }, {}, then_wait);
}
API int sim_cudaMemcpy(void* to, const void* from, size_t size, int kind) {
  return copy(to, from, size, kind, 0, true);
}
API int sim_cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, void* stream) {
  return copy(to, from, size, kind, stream, false);
}
API int sim_cudaMemsetAsync(void* to, int value, size_t size, void* stream) {
  {
    std::lock_guard<std::mutex> held(lock);
    if (!holds(device_blocks, to, size)) return fail(ILLEGAL_ADDRESS, "memset leaves its memory");
  }
  return submit(stream, [=] { memset(to, value, size); });
}
API int sim_cudaMemset(void* to, int value, size_t size) {
  return sim_cudaMemsetAsync(to, value, size, 0);
}
struct Attributes {
  int type, device;
  void *on_device, *on_host;
  long reserved[8];
};
API int sim_cudaPointerGetAttributes(Attributes* made, const void* address) {
  std::lock_guard<std::mutex> held(lock);
  bool on_device = holds(device_blocks, address, 1), pinned = holds(pinned_blocks, address, 1);
  made->type = on_device ? 2 : pinned ? 1 : 0;
  made->device = on_device ? device_of(address) : pinned ? current : -2;
  made->on_device = on_device || pinned ? (void*)address : 0;
  made->on_host = on_device ? 0 : (void*)address;
  return OK;
}

// The simulated CUDA's streams and events: first part of simulator.cpp.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

typedef unsigned char byte;
enum {
  OK = 0, INVALID_VALUE = 1, NO_MEMORY = 2, BAD_FREE = 17, BAD_IMAGE = 200, BAD_HANDLE = 400,
  NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, NOT_SUPPORTED = 801
};

// never destroyed: the streams' threads wait for them to the process's end
static std::mutex& lock = *new std::mutex;
static std::condition_variable& changed = *new std::condition_variable;
enum { DEVICES = 2 };
static uint64_t room = 4ull << 30, used[DEVICES], peak;
static thread_local int current;  // the calling thread's device
static unsigned delay_us, seed = 1;
static std::string complaint;  // the first thing that was wrong, for the tests

static int fail(int status, const std::string& why) {
  if (complaint.empty()) complaint = why;
  fprintf(stderr, "simulated CUDA: %s\n", why.c_str());
  return status;
}

// Streams and events ----------------------------------------------------------------------------

struct Stream;
struct Mark {  // the end of a stream as it once was
  std::shared_ptr<Stream> stream;
  uint64_t number = 0;
};
struct Piece {
  std::function<void()> run;
  std::vector<Mark> after;
};
struct Stream {
  bool blocking;
  int device;
  std::deque<Piece> queue;
  uint64_t submitted = 0, done = 0;
  bool ending = false;
};
struct Event {
  int device;
  bool blocking;  // who waits for it sleeps
  Mark mark;
  std::chrono::steady_clock::time_point at;
};

static auto& streams = *new std::map<void*, std::shared_ptr<Stream>>;
static auto* legacy = new std::shared_ptr<Stream>[DEVICES];  // the devices' default streams
static auto& events = *new std::set<Event*>;
static int sticky;  // an error of queued work: CUDA reports it from then on

static bool reached(const Mark& mark) { return !mark.stream || mark.stream->done >= mark.number; }

static void work(std::shared_ptr<Stream> stream, unsigned my_seed) {
  std::minstd_rand random(my_seed);
  std::unique_lock<std::mutex> held(lock);
  for (;;) {
    changed.wait(held, [&] { return !stream->queue.empty() || stream->ending; });
    if (stream->queue.empty()) return;
    Piece piece = std::move(stream->queue.front());
    stream->queue.pop_front();
    changed.wait(held, [&] {
      for (const Mark& mark : piece.after)
        if (!reached(mark)) return false;
      return true;
    });
    held.unlock();
    if (delay_us) std::this_thread::sleep_for(std::chrono::microseconds(random() % delay_us));
    if (piece.run) piece.run();
    piece = Piece();
    held.lock();
    stream->done++;
    changed.notify_all();
  }
}

static std::shared_ptr<Stream> start(bool blocking, int device) {
  auto made = std::make_shared<Stream>();
  made->blocking = blocking, made->device = device;
  std::thread(work, made, seed++).detach();
  return made;
}

static const std::shared_ptr<Stream>& default_stream(int device) {
  if (!legacy[device]) legacy[device] = start(true, device);
  return legacy[device];
}

// The stream of a handle, 0 if it is none; holds the lock. 0 and 1 are the legacy default stream of
// the current device, 2 is the calling thread's own on it.
static std::shared_ptr<Stream> find(void* handle) {
  if ((uintptr_t)handle == 2) {
    static thread_local std::shared_ptr<Stream> mine[DEVICES];
    if (!mine[current]) mine[current] = start(true, current);
    return mine[current];
  }
  if ((uintptr_t)handle <= 1) return default_stream(current);
  auto found = streams.find(handle);
  return found == streams.end() ? nullptr : found->second;
}

static Mark end_of(const std::shared_ptr<Stream>& stream) { return {stream, stream->submitted}; }

// Queue a piece of work behind what CUDA's rules put before it; holds the lock.
static Mark queue(const std::shared_ptr<Stream>& stream, std::function<void()> run,
                  std::vector<Mark> after = {}) {
  auto first = default_stream(stream->device);
  if (stream == first) {
    for (auto& [handle, other] : streams)
      if (other->device == stream->device && other->blocking) after.push_back(end_of(other));
  } else if (stream->blocking) {
    after.push_back(end_of(first));
  }
  stream->queue.push_back({std::move(run), std::move(after)});
  stream->submitted++;
  changed.notify_all();
  return end_of(stream);
}

static void wait(std::unique_lock<std::mutex>& held, const Mark& mark) {
  changed.wait(held, [&] { return reached(mark); });
}

static void wait_all(std::unique_lock<std::mutex>& held, int device) {
  std::vector<Mark> ends = {end_of(default_stream(device))};
  for (auto& [handle, stream] : streams)
    if (stream->device == device) ends.push_back(end_of(stream));
  for (const Mark& mark : ends) wait(held, mark);
}

static int submit(void* handle, std::function<void()> run, std::vector<Mark> after = {},
                  bool then_wait = false) {
  std::unique_lock<std::mutex> held(lock);
  auto stream = find(handle);
  if (!stream) return fail(BAD_HANDLE, "work for a stream that does not exist");
  Mark mark = queue(stream, std::move(run), std::move(after));
  if (then_wait) wait(held, mark);
  return sticky;
}

API int sim_cudaStreamCreateWithFlags(void** made, unsigned flags) {
  std::lock_guard<std::mutex> held(lock);
  default_stream(current);
  auto stream = start(!(flags & 1), current);
  *made = stream.get();
  streams[*made] = stream;
  return OK;
}
API int sim_cudaStreamCreate(void** made) { return sim_cudaStreamCreateWithFlags(made, 0); }
API int sim_cudaStreamCreateWithPriority(void** made, unsigned flags, int) {
  return sim_cudaStreamCreateWithFlags(made, flags);
}
API int sim_cudaStreamDestroy(void* handle) {
  std::lock_guard<std::mutex> held(lock);
  auto found = streams.find(handle);
  if (found == streams.end() || !handle) return fail(BAD_HANDLE, "destroys a stream twice");
  found->second->ending = true;  // queued work is still done
  streams.erase(found);
  changed.notify_all();
  return OK;
}
API int sim_cudaStreamSynchronize(void* handle) {
  std::unique_lock<std::mutex> held(lock);
  auto stream = find(handle);
  if (!stream) return fail(BAD_HANDLE, "waits for a stream that does not exist");
  wait(held, end_of(stream));
  return sticky;
}
API int sim_cudaStreamQuery(void* handle) {
  std::lock_guard<std::mutex> held(lock);
  auto stream = find(handle);
  if (!stream) return fail(BAD_HANDLE, "asks a stream that does not exist");
  return reached(end_of(stream)) ? sticky : (int)NOT_READY;
}
API int sim_cudaStreamWaitEvent(void* handle, Event* event, unsigned) {
  std::lock_guard<std::mutex> held(lock);
  auto stream = find(handle);
  if (!stream || !events.count(event)) return fail(BAD_HANDLE, "orders what does not exist");
  queue(stream, nullptr, {event->mark});
  return OK;
}
API int sim_cudaStreamIsCapturing(void*, int* status) { return *status = 0, OK; }
API int sim_cudaStreamGetFlags(void*, unsigned* flags) { return *flags = 1, OK; }
API int sim_cudaLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
  return submit(handle, [=] { function(data); });
}
API int sim_cudaDeviceSynchronize() {
  std::unique_lock<std::mutex> held(lock);
  wait_all(held, current);
  return sticky;
}

API int sim_cudaEventCreateWithFlags(Event** made, unsigned flags) {
  std::lock_guard<std::mutex> held(lock);
  *made = new Event{current, bool(flags & 1)};
  events.insert(*made);
  return OK;
}
API int sim_cudaEventCreate(Event** made) { return sim_cudaEventCreateWithFlags(made, 0); }
API int sim_cudaEventDestroy(Event* event) {
  std::lock_guard<std::mutex> held(lock);
  if (!events.erase(event)) return fail(BAD_HANDLE, "destroys an event twice");
  delete event;
  return OK;
}
API int sim_cudaEventRecord(Event* event, void* handle) {
  std::lock_guard<std::mutex> held(lock);
  auto stream = find(handle);
  if (!stream || !events.count(event)) return fail(BAD_HANDLE, "records what does not exist");
  if (stream->device != event->device) return fail(BAD_HANDLE, "records another device's event");
  event->mark = queue(stream, [event] {
    std::lock_guard<std::mutex> again(lock);
    if (events.count(event)) event->at = std::chrono::steady_clock::now();
  });
  return OK;
}
API int sim_cudaEventRecordWithFlags(Event* event, void* handle, unsigned) {
  return sim_cudaEventRecord(event, handle);
}
API int sim_cudaEventQuery(Event* event) {
  std::lock_guard<std::mutex> held(lock);
  if (!events.count(event)) return fail(BAD_HANDLE, "asks an event that does not exist");
  return reached(event->mark) ? sticky : (int)NOT_READY;
}
API int sim_cudaEventSynchronize(Event* event) {
  std::unique_lock<std::mutex> held(lock);
  if (!events.count(event)) return fail(BAD_HANDLE, "waits for an event that does not exist");
  Mark mark = event->mark;  // the event may be destroyed or recorded again meanwhile
  if (event->blocking) return wait(held, mark), sticky;
  while (!reached(mark)) {  // a core is kept busy, as by the real one
    held.unlock();
    std::this_thread::yield();
    held.lock();
  }
  return sticky;
}
API int sim_cudaEventElapsedTime(float* ms, Event* first, Event* second) {
  std::lock_guard<std::mutex> held(lock);
  *ms = std::chrono::duration<float, std::milli>(second->at - first->at).count();
  return OK;
}

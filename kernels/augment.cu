// Execute plans on a GPU: decoded pixels in, values of a batch out.
//
// A step that another step reads is made in memory, by stage_C; the last one, with all that changes
// colours and the normalisation, is one launch, finish_TYPE_LAYOUT_C. The common plans (one resize,
// one crop, a flip) need that launch alone. Only the windows that are asked for are computed.
//
// A host compiler takes this unit too, behind a few lines that define the CUDA words.

// One pixel of a view's window: y and x count from the window's corner. The common kinds stand
// alone, so that the last step, which is made for them, stays small.
template <int C>
__device__ inline Pixel<C> common(const View& v, int y, int x) {
  y += v.y;
  x += v.x;
  switch (v.kind) {
    case COPY: return load<C>(v, y, x);
    case BILINEAR: return bilinear<C>(v, y, x);
    case HALVE: return halve<C>(v, y, x);
    default: return nearest<C>(v, y, x);
  }
}

template <int C>
__device__ Pixel<C> window(const View& v, const Plan& plan, int y, int x) {
  int row = y + v.y, column = x + v.x;
  switch (v.kind) {
    case CUBIC: return filter_taps<C, 4>(v, row, column);
    case LANCZOS4: return filter_taps<C, 8>(v, row, column);
    case AREA: return enlarge_area<C>(v, row, column);
    case TRIANGLE: return triangle<C>(v, row, column);
    case SHRINK: return shrink<C>(v, row, column);
    case SHRINK_WHOLE: return shrink_whole<C>(v, row, column);
    case BORDER: return border<C>(v, plan, row, column);
    case WARP:
      switch (v.inter) {
        case NEAREST: return warp<C, 1>(v, plan, plan.warp, row, column);
        case CUBIC: return warp<C, 4>(v, plan, plan.warp, row, column);
        case LANCZOS4: return warp<C, 8>(v, plan, plan.warp, row, column);
        default: return warp<C, 2>(v, plan, plan.warp, row, column);
      }
    case TURN: return warp<C, 2>(v, plan, plan.turn, row, column);
    default: return common<C>(v, y, x);
  }
}

// Make the window of a view in memory: a step that another step reads.
template <int C>
__device__ void stage(const Job* job) {
  const View& v = ((const View*)job->views)[blockIdx.y];
  if (v.source == 0 || v.target == 0) return;
  const Plan& plan = ((const Plan*)job->plans)[blockIdx.y];
  int size = v.h * v.w;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {
    Pixel<C> made = window<C>(v, plan, i / v.w, i % v.w);
    byte* to = (byte*)v.target + (long long)i * C;
#pragma unroll
    for (int c = 0; c < C; c++) to[c] = (byte)made.c[c];
  }
}

// Sum the gray values of a window as they are when contrast's turn comes: that of the jitter (slot
// 0), or of tone step slot - 1.
template <int C>
__device__ void gray_sum(const Job* job) {
  const int n = blockIdx.y, W = job->width, size = job->height * W, tone = job->slot - 1;
  const View& v = ((const View*)job->views)[n];
  const Plan& plan = ((const Plan*)job->plans)[n];
  u64* sums = (u64*)job->sums + n * SUMS;
  if (v.source == 0) return;
  if (tone < 0 ? !plan.jitter : tone >= plan.tone_count || plan.tone_op[tone] != CONTRAST) return;
  int steps = 0;
  while (tone < 0 && plan.jitter_order[steps] != CONTRAST) steps++;
  u64 sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {
    Pixel<C> p = common<C>(v, i / W, i % W);
    if (tone < 0)
      jitter(p, plan, 0, size, steps);
    else
      p = colour<C>(p, plan, sums, size, tone);
    sum += gray(p);
  }
  atomicAdd(sums + job->slot, sum);
}

// float32 to the bits of a half or a bfloat16, rounded half to even.
__device__ inline unsigned short half_bits(float value) {
#ifdef __CUDA_ARCH__
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  return host_half_bits(value);
#endif
}

__device__ inline unsigned short bfloat16_bits(float value) {
  unsigned bits = __float_as_uint(value);
  return (unsigned short)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

struct float32 {
  float v;
  __device__ static float32 from(int p, float mean, float factor, float shift) {
    return {((float)p - mean) * factor + shift};
  }
};
struct float16 {
  unsigned short v;
  __device__ static float16 from(int p, float mean, float factor, float shift) {
    return {half_bits(((float)p - mean) * factor + shift)};
  }
};
struct bfloat16 {
  unsigned short v;
  __device__ static bfloat16 from(int p, float mean, float factor, float shift) {
    return {bfloat16_bits(((float)p - mean) * factor + shift)};
  }
};
struct uint8 {
  byte v;
  __device__ static uint8 from(int p, float, float, float) { return {(byte)p}; }
};
struct int8 {
  signed char v;
  __device__ static int8 from(int p, float mean, float, float) {
    return {(signed char)clamp(p - (int)mean, -128, 127)};
  }
};

struct alignas(16) Sixteen {
  unsigned word[4];
};

// The last step: one window, coloured, flipped and normalised, R, G, B (, A), 16 bytes a write.
template <typename T, int C, bool NHWC>
__device__ void finish(const Job* job) {
  const int V = 16 / sizeof(T);
  const int H = job->height, W = job->width, size = H * W, n = blockIdx.y;
  const int first = (blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (first >= size) return;
  const View& v = ((const View*)job->views)[n];
  const Plan& plan = ((const Plan*)job->plans)[n];
  const float* terms = (const float*)job->terms + 12 * n;
  const float* centre = (const float*)job->mean_image;
  const u64* sums = (const u64*)job->sums + n * SUMS;
  const int count = size - first < V ? size - first : V;
  const bool coloured = C >= 3 && (plan.jitter | plan.hls_on | plan.pca_on | plan.tone_count);
  const T zero = {};
  alignas(16) T made[V * C];
  int y = first / W, x = first % W;
#pragma unroll 1
  for (int k = 0; k < count; k++) {
    Pixel<C> p;
    if (v.source != 0) {
      p = common<C>(v, y, plan.mirror ? W - 1 - x : x);
      if (coloured) p = colour<C>(p, plan, sums, size, plan.tone_count);
      if (y >= plan.erase_y && y - plan.erase_y < plan.erase_h && x >= plan.erase_x &&
          x - plan.erase_x < plan.erase_w) {
#pragma unroll
        for (int c = 0; c < C; c++) p.c[c] = plan.erase_value[c];
      }
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
      int from = C >= 3 && c < 3 ? 2 - c : c;
      float mean = terms[c];
      if (centre) mean = centre[(c * H + y) * W + (plan.mirror ? W - 1 - x : x)];
      made[NHWC ? k * C + c : c * V + k] =
          v.source != 0 ? T::from(p.c[from], mean, terms[4 + c], terms[8 + c]) : zero;
    }
    if (++x == W) {
      x = 0;
      y++;
    }
  }
  T* out = (T*)job->out + (long long)n * C * size;
  const bool wide = size % V == 0 && job->out % 16 == 0;
#pragma unroll
  for (int c = 0; c < C; c++) {
    // NHWC: the V * C values lie together; NCHW: V of them in each of C planes
    T* to = NHWC ? out + (long long)first * C + c * V : out + (long long)c * size + first;
    if (wide) {
      *(Sixteen*)to = *(const Sixteen*)(made + c * V);
    } else {
      const int some = NHWC ? clamp(count * C - c * V, 0, V) : count;
      for (int k = 0; k < some; k++) to[k] = made[c * V + k];
    }
  }
}

#define STAGE(C) \
  extern "C" __global__ void stage_##C(const Job* job) { stage<C>(job); }
STAGE(1)
STAGE(3)
STAGE(4)

extern "C" __global__ void gray_sum_3(const Job* job) { gray_sum<3>(job); }
extern "C" __global__ void gray_sum_4(const Job* job) { gray_sum<4>(job); }

#define FINISH(T, C)                                                                           \
  extern "C" __global__ void finish_##T##_nchw_##C(const Job* job) { finish<T, C, false>(job); } \
  extern "C" __global__ void finish_##T##_nhwc_##C(const Job* job) { finish<T, C, true>(job); }
#define FINISH_ALL(T) FINISH(T, 1) FINISH(T, 3) FINISH(T, 4)
FINISH_ALL(float32)
FINISH_ALL(float16)
FINISH_ALL(bfloat16)
FINISH_ALL(uint8)
FINISH_ALL(int8)

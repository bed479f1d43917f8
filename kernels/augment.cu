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
    case BORDER: return or_fill<C>(v, plan.fill, row - plan.pad, column - plan.pad);
    case WARP:
      switch (v.inter) {
        case NEAREST: return warp<C, 1>(v, plan, plan.warp, row, column);
        case CUBIC: return warp<C, 4>(v, plan, plan.warp, row, column);
        case LANCZOS4: return warp<C, 8>(v, plan, plan.warp, row, column);
        default: return warp<C, 2>(v, plan, plan.warp, row, column);
      }
    case TURN: return warp<C, 2>(v, plan, plan.turn, row, column);
    case TINT: return tint(load<C>(v, row, column), plan);
    case FRAME: return or_fill<C>(v, plan.fill, row - plan.frame_y, column - plan.frame_x);
    case PLACE: return or_fill<C>(v, 0, row, column);
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
// Their ratios, for detection: the second term is the std, the third the scale.
struct float32_ratio {
  float v;
  __device__ static float32_ratio from(int p, float mean, float std, float scale) {
    return {((float)p - mean) / std * scale};
  }
};
struct float16_ratio {
  unsigned short v;
  __device__ static float16_ratio from(int p, float mean, float std, float scale) {
    return {half_bits(((float)p - mean) / std * scale)};
  }
};
struct bfloat16_ratio {
  unsigned short v;
  __device__ static bfloat16_ratio from(int p, float mean, float std, float scale) {
    return {bfloat16_bits(((float)p - mean) / std * scale)};
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

// What one line of the last step's result reads of one axis: two source lines, as bytes from the
// first, and their weights in 11 bits. Each of the common kinds is such a pair.
struct Line {
  long long first, second;
  int left, right;
};

__device__ inline Line line(int kind, int place, double scale, int src, long long step, bool inside) {
  int first = place, second = place;
  Line made = {0, 0, 2048, 0};
  if (kind == BILINEAR) {
    Taps taps = linear_taps(place, scale, src, inside);
    first = clamp(taps.first, 0, src - 1);
    second = clamp(taps.first + 1, 0, src - 1);
    made.left = taps.left;
    made.right = taps.right;
  } else if (kind == HALVE) {
    first = 2 * place;
    second = first + 1;
    made.left = made.right = 1024;
  } else if (kind == NEAREST) {
    first = (int)floor(place * scale);
    first = second = first < src ? first : src - 1;
  }
  made.first = first * step;
  made.second = second * step;
  return made;
}

// The threads of a block do each part of the last step together. A host compiler, which runs them
// one after the other, defines these words in its own way.
#ifndef EACH_THREAD
#define EACH_THREAD(t) for (int t = threadIdx.x, once = 1; once; once = 0)
#define TOGETHER() __syncthreads()
#define BLOCK_MEMORY __shared__
#endif

// Bytes that are read from a tile at once.
template <int N>
struct alignas(N) Bytes {
  byte value[N];
};

// Channel c of a result is R, G, B (, A); a pixel's are B, G, R (, A).
template <int C>
__device__ inline int turned(int c) {
  return C >= 3 && c < 3 ? 2 - c : c;
}

// Where a tile holds channel c of the pixel (y, x): in the order of the result.
template <int C, bool NHWC>
__device__ inline int place(int c, int y, int x) {
  return NHWC ? (y * TILE + x) * C + c : (c * TILE + y) * TILE + x;
}

// A block's part of the last step's window.
struct Tile {
  int y, x, height, width;
};

// Normalise a tile and write it, V values of T at once. A line is a row of the tile: of all
// channels (NHWC), or of one (NCHW).
template <typename T, int C, bool NHWC, int V>
__device__ inline void leave(const Job* job, Tile part, const byte* tile, bool present, bool mirror,
                             int t) {
  const int LINE = NHWC ? TILE * C : TILE, N = NHWC ? C : 1;
  const int H = job->height, W = job->width, n = blockIdx.y;
  const int lines = NHWC ? part.height : C * TILE, length = NHWC ? part.width * C : part.width;
  const float* centre = (const float*)job->mean_image;
  const float* terms = (const float*)job->terms + 12 * n;
  T* out = (T*)job->out + (long long)n * C * (H * W);
  for (int i = t; i < lines * (LINE / V); i += TILE_THREADS) {
    const int k = i / (LINE / V), y = k % TILE, at = i % (LINE / V) * V;
    if (at >= length || y >= part.height) continue;
    const long long row = (long long)(part.y + y) * W + part.x;
    T* to = NHWC ? out + row * C + at : out + (long long)(k / TILE) * (H * W) + row + at;
    // the terms of the channels that the values belong to, in turns
    const int first = NHWC ? at % C : k / TILE;
    float mean[N], factor[N], shift[N];
#pragma unroll
    for (int q = 0; q < N; q++) {
      const int c = NHWC ? (first + q) % C : first;
      mean[q] = terms[c];
      factor[q] = terms[4 + c];
      shift[q] = terms[8 + c];
    }
    const Bytes<V> some = *(const Bytes<V>*)(tile + k * LINE + at);
    struct alignas(V * sizeof(T)) {
      T value[V];
    } made = {};
    if (present && !centre) {
#pragma unroll
      for (int j = 0; j < V; j++)
        made.value[j] = T::from(some.value[j], mean[j % N], factor[j % N], shift[j % N]);
    } else if (present) {
#pragma unroll
      for (int j = 0; j < V; j++) {
        const int c = NHWC ? (first + j) % C : first;
        const int x = part.x + (NHWC ? (at + j) / C : at + j);
        const float less = centre[(c * H + part.y + y) * W + (mirror ? W - 1 - x : x)];
        made.value[j] = T::from(some.value[j], less, factor[j % N], shift[j % N]);
      }
    }
    if constexpr (V == 1)
      *to = made.value[0];
    else
      *(Sixteen*)to = *(const Sixteen*)&made;
  }
}

// The last step: one window, coloured, flipped and normalised, R, G, B (, A). A block makes a tile:
// neighbouring threads read neighbouring pixels, and the tile leaves in writes of 16 bytes.
template <typename T, int C, bool NHWC>
__device__ void finish(const Job* job) {
  BLOCK_MEMORY Line rows[TILE];
  alignas(16) BLOCK_MEMORY byte tile[TILE * TILE * C];
  const int H = job->height, W = job->width, n = blockIdx.y;
  const int across = (W + TILE - 1) / TILE;
  Tile part;
  part.y = (int)blockIdx.x / across * TILE;
  part.x = (int)blockIdx.x % across * TILE;
  part.height = H - part.y < TILE ? H - part.y : TILE;
  part.width = W - part.x < TILE ? W - part.x : TILE;
  const View& v = ((const View*)job->views)[n];
  const Plan& plan = ((const Plan*)job->plans)[n];
  const byte* source = (const byte*)v.source;
  const int kind = v.kind;
  const bool mirror = plan.mirror;

  EACH_THREAD(t) {
    if (source && t < part.height)
      rows[t] = line(kind, part.y + t + v.y, v.scale_y, v.src_h, v.step_y, false);
  }
  TOGETHER();

  EACH_THREAD(t) {
    const int x = t % TILE;
    if (source && x < part.width) {
      const bool single = kind == COPY || kind == NEAREST;
      const int from = mirror ? W - 1 - (part.x + x) : part.x + x;
      const Line column = line(kind, from + v.x, v.scale_x, v.src_w, v.step_x, true);
      for (int y = t / TILE; y < part.height; y += TILE_THREADS / TILE) {
        const Line row = rows[y];
        const byte *upper = source + row.first, *lower = source + row.second;
        Pixel<C> p;
        if (single)
          p = load<C>(upper + column.first);
        else
          p = weigh<C>(upper + column.first, upper + column.second, lower + column.first,
                       lower + column.second, row.left, row.right, column.left, column.right);
#pragma unroll
        for (int c = 0; c < C; c++) tile[place<C, NHWC>(c, y, x)] = (byte)p.c[turned<C>(c)];
      }
    }
  }

  const bool coloured = C >= 3 && (plan.jitter | plan.hls_on | plan.pca_on | plan.tone_count);
  if (source && (coloured || plan.erase_h)) {
    EACH_THREAD(t) {  // the pixels that this thread has made
      const int x = t % TILE, left = part.x + x - plan.erase_x;
      for (int y = t / TILE; x < part.width && y < part.height; y += TILE_THREADS / TILE) {
        Pixel<C> p;
#pragma unroll
        for (int c = 0; c < C; c++) p.c[turned<C>(c)] = tile[place<C, NHWC>(c, y, x)];
        if (coloured)
          p = colour<C>(p, plan, (const u64*)job->sums + n * SUMS, H * W, plan.tone_count);
        const int down = part.y + y - plan.erase_y;
        const bool erased = left >= 0 && left < plan.erase_w && down >= 0 && down < plan.erase_h;
#pragma unroll
        for (int c = 0; c < C; c++)
          tile[place<C, NHWC>(c, y, x)] =
              (byte)(erased ? plan.erase_value[turned<C>(c)] : p.c[turned<C>(c)]);
      }
    }
  }
  TOGETHER();

  EACH_THREAD(t) {
    const int V = 16 / sizeof(T);
    if ((NHWC ? W * C : W) % V == 0 && job->out % 16 == 0)
      leave<T, C, NHWC, V>(job, part, tile, source != 0, mirror, t);
    else
      leave<T, C, NHWC, 1>(job, part, tile, source != 0, mirror, t);
  }
}

#define STAGE(C) \
  extern "C" __global__ void __launch_bounds__(BLOCK) stage_##C(const Job* job) { stage<C>(job); }
STAGE(1)
STAGE(3)
STAGE(4)

extern "C" __global__ void gray_sum_3(const Job* job) { gray_sum<3>(job); }
extern "C" __global__ void gray_sum_4(const Job* job) { gray_sum<4>(job); }

#define FINISH(T, C)                                                                           \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS) finish_##T##_nchw_##C(const Job* job) {    \
    finish<T, C, false>(job);                                                                    \
  }                                                                                              \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS) finish_##T##_nhwc_##C(const Job* job) {    \
    finish<T, C, true>(job);                                                                     \
  }
#define FINISH_ALL(T) FINISH(T, 1) FINISH(T, 3) FINISH(T, 4)
FINISH_ALL(float32)
FINISH_ALL(float16)
FINISH_ALL(bfloat16)
FINISH_ALL(uint8)
FINISH_ALL(int8)
FINISH_ALL(float32_ratio)
FINISH_ALL(float16_ratio)
FINISH_ALL(bfloat16_ratio)

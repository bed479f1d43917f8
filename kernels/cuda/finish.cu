// The last step: a window resampled, coloured, flipped, normalised and written.
//
// A block makes a tile of the window. First its threads work out what the rows and columns of the
// tile read. Then each makes some pixels of a column, from above to below: of the two source lines
// that a pixel needs, blended along x, it holds those of the pixel above, so that it reads most
// lines once. Last, the tile, by then of values of the result, leaves in writes of 16 bytes.
//
// Its arithmetic is that of resample.cu's integers, to the bit, by floats: sums are lifted (see
// values.cu) to where the last bit is worth as much as the shift leaves, and rounded towards zero.
// Every product of a weight of 11 bits is exact inside them.

struct alignas(16) Sixteen {
  unsigned word[4];
};

// What one line of the result reads of one axis: two source lines and their weights in 11 bits.
// Each of the common kinds is such a pair.
struct Line {
  int first, second, left, right;
};

__device__ inline Line line(int kind, int place, double scale, int src, bool inside) {
  Line made = {place, place, 0, 2048};
  if (kind == BILINEAR) {
    Taps taps = linear_taps(place, scale, src, inside);
    made.first = clamp(taps.first, 0, src - 1);
    made.second = clamp(taps.first + 1, 0, src - 1);
    made.left = taps.left;
    made.right = taps.right;
  } else if (kind == HALVE) {
    made.first = 2 * place;
    made.second = 2 * place + 1;
    made.left = made.right = 1024;
  } else if (kind == NEAREST) {
    int first = (int)floor(place * scale);
    made.first = made.second = first < src ? first : src - 1;
  }
  return made;
}

// A column made one that reads two neighbours, where there are two; the one with weight 0 is added.
// First is the one that comes first in memory.
__device__ inline Line paired(Line column, int src, long long step) {
  if (column.first == column.second && src > 1) {
    const int all = column.left + column.right;
    column.first -= column.first > 0;
    column.left = column.second == column.first ? all : 0;
    column.right = all - column.left;
    column.second = column.first + 1;
  }
  if (step < 0) return {column.second, column.first, column.right, column.left};
  return column;
}

// A row of the tile: where its two source lines are, in bytes from the image's first pixel, their
// weights, and which of them a thread that has made the row above still has to read.
struct alignas(16) Row {
  long long second;
  float top, bottom;  // over 2^22: 2^16 as in the integers, 4 for the last shift, 16 of a blend
  long long first;
  float base;  // lifts the sum of the weighed lines to where its last bit is worth 1/4, and rounds
  int anew;    // 0: none, 1: the second, the first being the second of the row above, 2: both
};

__device__ inline Row row_after(const Line& above, const Line& line, bool alone, long long step) {
  Row made;
  made.first = line.first * step;
  made.second = line.second * step;
  made.top = (float)line.left * (1.0f / 4194304);
  made.bottom = (float)line.right * (1.0f / 4194304);
  // a blend's own lift, weighed, is taken off: (2^27 + 2^23) / 2^22 = 34
  made.base = UNIT * 0.375f + 0.5f - (float)(line.left + line.right) * 34.0f;
  const bool unused = line.left == 0, filled = above.left != 0 || unused;
  made.anew = unused || (!alone && line.first == above.second) ? 1 : 2;
  if (!alone && filled && line.first == above.first && line.second == above.second) made.anew = 0;
  return made;
}

// The values of one source line at one column, 16 * ((a * left + b * right) >> 4), lifted and at
// 2^27, where the last bit is worth 16; or a pixel's, lifted.
template <int C>
struct Blend {
  float c[C];
};

template <int C>
__device__ inline Blend<C> across(const byte* a, const byte* b, int left, int right) {
  Blend<C> made;
#pragma unroll
  for (int c = 0; c < C; c++)
    made.c[c] = __fadd_rz(lifted(read(a + c) * left + read(b + c) * right), UNIT * 16);
  return made;
}

// The same of two neighbours: six bytes, read as words; a third word only where it holds one of
// them. So each word holds a byte of the image. The memory an image lies in begins at a multiple of
// 256 bytes and is given out in multiples of that, so the rest of the word is memory, too.
template <int C>
__device__ inline Blend<C> beside(const byte* a, unsigned weights) {
  if constexpr (C != 3) return across<C>(a, a + C, weights & 0xFFFF, weights >> 16);
  const unsigned* word = (const unsigned*)((u64)a & ~3ull);
  const unsigned shift = (unsigned)(u64)a << 3;  // bits; a funnel takes it modulo 32
  unsigned third = 0;
  if ((shift & 24) == 24) third = read(word + 2);
  const unsigned second = read(word + 1);
  const unsigned low = __funnelshift_r(read(word), second, shift);
  const unsigned high = __funnelshift_r(second, third, shift);
  const unsigned b_g = __byte_perm(low, high, 0x4130);  // from the lowest byte: b, b', g, g'
  const unsigned sums[3] = {__dp2a_lo(weights, b_g, 0x4B000000u),
                            __dp2a_hi(weights, b_g, 0x4B000000u),
                            __dp2a_lo(weights, __byte_perm(low, high, 0x52), 0x4B000000u)};
  Blend<C> made;
#pragma unroll
  for (int c = 0; c < 3; c++) made.c[c] = __fadd_rz(__uint_as_float(sums[c]), UNIT * 16);
  return made;
}

// A pixel, lifted: (((top * upper) >> 16) + ((bottom * lower) >> 16) + 2) >> 2.
template <int C>
__device__ inline Blend<C> down(const Blend<C>& upper, const Blend<C>& lower, const Row& row) {
  Blend<C> made;
#pragma unroll
  for (int c = 0; c < C; c++) {
    float sum = __fmaf_rz(row.top, upper.c[c], row.base);
    sum = __fmaf_rz(row.bottom, lower.c[c], sum);
    made.c[c] = __fadd_rz(sum, UNIT - UNIT * 0.375f);
  }
  return made;
}

// The threads of a block do each part of the step together. A host compiler, which runs them one
// after the other, defines these words in its own way.
#ifndef EACH_THREAD
#define EACH_THREAD(t) for (int t = threadIdx.x, once = 1; once; once = 0)
#define TOGETHER() __syncthreads()
#define BLOCK_MEMORY __shared__
#endif

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

// A block's part of the window.
struct Tile {
  int y, x, height, width;
};

// Write a tile, V values of T at once. A line is a row of the tile: of all channels (NHWC), or of
// one (NCHW). A thread keeps to its place of a line.
template <typename T, int C, bool NHWC, int V>
__device__ inline void leave(const Job* job, Tile part, const T* tile, int t) {
  const int LINE = NHWC ? TILE * C : TILE, length = NHWC ? part.width * C : part.width;
  const int PLACES = LINE / V < TILE_THREADS ? LINE / V : TILE_THREADS;
  const int ROWS = TILE_THREADS / PLACES;
  const int at = t % PLACES * V;
  if (t >= PLACES * ROWS || at >= length) return;
  const int row = NHWC ? job->width * C : job->width, plane = job->height * job->width;
  const int y = t / PLACES, corner = (part.y + y) * row + (NHWC ? part.x * C : part.x) + at;
  T* to = (T*)job->out + (long long)plane * (C * (int)blockIdx.z) + corner;
  tile += y * LINE + at;
#pragma unroll(V > 1 ? TILE : 1)
  for (int down = 0; down < TILE; down += ROWS) {
    if (down >= part.height - y) break;
#pragma unroll
    for (int c = 0; c < (NHWC ? 1 : C); c++) {
      T* there = to + (c * plane + down * row);
      const T* from = tile + (c * TILE + down) * LINE;
      if constexpr (V > 1)
        *(Sixteen*)there = *(const Sixteen*)from;
      else
#pragma unroll 1
        for (int on = 0; on < length - at; on += PLACES) there[on] = from[on];
    }
  }
}

// Normalisation: of each channel the mean, the factor and the shift.
struct alignas(16) Terms {
  float mean[4], factor[4], shift[4];
};

// Values of a pixel, lifted, in a tile. SWAP: its channels are in the order of the result.
template <typename T, int C, bool NHWC, bool SWAP>
__device__ inline void put(T* to, const Blend<C>& p, const Terms& terms) {
#pragma unroll
  for (int c = 0; c < C; c++)
    to[place<C, NHWC>(c, 0, 0)] =
        T::from(p.c[SWAP ? c : turned<C>(c)], terms.mean[c], terms.factor[c], terms.shift[c]);
}

// Make one thread's pixels of a tile, from above to below: of plain images, which read neighbours.
template <typename T, int C, bool NHWC, bool SWAP>
__device__ inline void walk(const View& v, Terms terms, const Row* rows, Line column, int x, int y,
                            int stop, T* tile) {
  const byte* source = (const byte*)v.source + column.first * v.step_x;
  const unsigned weights = column.left | column.right << 16;
  Blend<C> upper = {}, lower = {};
  T* to = tile + place<C, NHWC>(0, y, x);
#pragma unroll 1
  for (; y < stop; y++, to += place<C, NHWC>(0, 1, 0)) {
    const Row row = rows[y];
    if (row.anew == 1) {
      upper = lower;
      lower = beside<C>(source + row.second, weights);
    } else if (row.anew) {
      upper = beside<C>(source + row.first, weights);
      lower = beside<C>(source + row.second, weights);
    }
    put<T, C, NHWC, SWAP>(to, down(upper, lower, row), terms);
  }
}

// The same of any image, as bytes, each the first of its value's.
template <typename T, int C, bool NHWC>
__device__ inline void walk_bytes(const View& v, const Row* rows, Line column, int x, int y,
                                  int stop, T* tile) {
  const byte* first = (const byte*)v.source + column.first * v.step_x;
  const byte* second = (const byte*)v.source + column.second * v.step_x;
  const bool swap = C == 3 && v.swap;
#pragma unroll 1
  for (; y < stop; y++) {
    const Row row = rows[y];
    const Blend<C> made =
        down(across<C>(first + row.first, second + row.first, column.left, column.right),
             across<C>(first + row.second, second + row.second, column.left, column.right), row);
#pragma unroll
    for (int c = 0; c < C; c++)
      *(byte*)(tile + place<C, NHWC>(c, y, x)) =
          (byte)__float_as_uint(swap ? made.c[c] : made.c[turned<C>(c)]);
  }
}

// Change the colours of those bytes, erase a part of them, and make them values of the result.
template <typename T, int C, bool NHWC>
__device__ inline void touch(const Job* job, const Plan& plan, Tile part, const Terms& terms, int x,
                             int y, int stop, T* tile) {
  const bool coloured = C >= 3 && (plan.jitter | plan.hls_on | plan.pca_on | plan.tone_count);
  const float* centre = (const float*)job->mean_image;
  const int H = job->height, W = job->width, to_x = part.x + x;
#pragma unroll 1
  for (; y < stop; y++) {
    T* to = tile + place<C, NHWC>(0, y, x);
    Pixel<C> p;
#pragma unroll
    for (int c = 0; c < C; c++) p.c[turned<C>(c)] = *(const byte*)(to + place<C, NHWC>(c, 0, 0));
    if (coloured)
      p = colour<C>(p, plan, (const u64*)job->sums + blockIdx.z * SUMS, H * W, plan.tone_count);
    const int right = to_x - plan.erase_x, below = part.y + y - plan.erase_y;
    const bool erased = right >= 0 && right < plan.erase_w && below >= 0 && below < plan.erase_h;
    Blend<C> made;
    Terms own = terms;
#pragma unroll
    for (int c = 0; c < C; c++) {
      made.c[c] = lifted((byte)(erased ? plan.erase_value[c] : p.c[c]));
      if (centre)
        own.mean[c] = centre[(c * H + part.y + y) * W + (plan.mirror ? W - 1 - to_x : to_x)];
    }
    put<T, C, NHWC, false>(to, made, own);
  }
}

template <typename T, int C, bool NHWC>
__device__ void finish(const Job* job) {
  BLOCK_MEMORY Line lines[2 * TILE];  // of the rows, then of the columns
  BLOCK_MEMORY Row rows[TILE];
  alignas(16) BLOCK_MEMORY T tile[TILE * TILE * C];
  const int H = job->height, W = job->width, n = blockIdx.z;
  Tile part;
  part.y = (int)blockIdx.y * TILE;
  part.x = (int)blockIdx.x * TILE;
  part.height = H - part.y < TILE ? H - part.y : TILE;
  part.width = W - part.x < TILE ? W - part.x : TILE;
  const View& v = ((const View*)job->views)[n];
  const Plan& plan = ((const Plan*)job->plans)[n];
  const bool present = v.source != 0;
  const int WALK = TILE * TILE / TILE_THREADS;  // rows that a thread makes

  EACH_THREAD(t) {
    const bool vertical = t < TILE;
    const int x = part.x + t - TILE, y = part.y + t;
    if (present && (vertical ? y < H : x < W)) {
      const int to = vertical ? y + v.y : (plan.mirror ? W - 1 - x : x) + v.x;
      const int src = vertical ? v.src_h : v.src_w;
      Line made = line(v.kind, to, vertical ? v.scale_y : v.scale_x, src, !vertical);
      if (!vertical) made = paired(made, v.kind == COPY ? v.dst_w : src, v.step_x);
      lines[t] = made;
    }
  }
  TOGETHER();

  EACH_THREAD(t) {
    if (present && t < part.height)
      rows[t] = row_after(lines[t ? t - 1 : 0], lines[t], t % WALK == 0, v.step_y);
  }
  TOGETHER();

  EACH_THREAD(t) {
    const int x = t % TILE;
    int y = t / TILE * WALK;
    const int stop = y + WALK < part.height ? y + WALK : part.height;
    if (present && x < part.width) {
      const Line column = lines[TILE + x];
      const Terms& terms = ((const Terms*)job->terms)[n];
      if (v.plain && C == 3 && v.swap) {
        walk<T, C, NHWC, true>(v, terms, rows, column, x, y, stop, tile);
      } else if (v.plain) {
        walk<T, C, NHWC, false>(v, terms, rows, column, x, y, stop, tile);
      } else {
        walk_bytes<T, C, NHWC>(v, rows, column, x, y, stop, tile);
        touch<T, C, NHWC>(job, plan, part, terms, x, y, stop, tile);
      }
    } else {
      for (; y < stop; y++)
        for (int c = 0; c < C; c++) tile[place<C, NHWC>(c, y, x)] = T{};
    }
  }
  TOGETHER();

  EACH_THREAD(t) {
    const int V = 16 / sizeof(T);
    if ((NHWC ? W * C : W) % V == 0 && job->out % 16 == 0)
      leave<T, C, NHWC, V>(job, part, tile, t);
    else
      leave<T, C, NHWC, 1>(job, part, tile, t);
  }
}

// At so many blocks on a multiprocessor 48 registers a thread are left, for 4 channels 64. Some
// architectures hold 16 blocks at most; a wish for more the compiler ignores altogether.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 750 || __CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 870)
#define RESIDENT(C) 16
#else
#define RESIDENT(C) (C < 4 ? 20 : 16)
#endif
#define FINISH_KERNEL(T, LAYOUT, C, NHWC)                                                       \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS, RESIDENT(C))                       \
  finish_##T##_##LAYOUT##_##C(const Job* job) { finish<T, C, NHWC>(job); }
#define FINISH(T, C) FINISH_KERNEL(T, nchw, C, false) FINISH_KERNEL(T, nhwc, C, true)
#define FINISH_ALL(T) FINISH(T, 1) FINISH(T, 3) FINISH(T, 4)
#ifndef ONE_KERNEL
FINISH_ALL(float32)
FINISH_ALL(float16)
FINISH_ALL(bfloat16)
FINISH_ALL(uint8)
FINISH_ALL(int8)
FINISH_ALL(float32_ratio)
FINISH_ALL(float16_ratio)
FINISH_ALL(bfloat16_ratio)
#endif

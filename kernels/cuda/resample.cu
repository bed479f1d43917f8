// Steps that move pixels: resizes, the warp, the border. Second part of the unit that
// gpuio.kernels.cuda.compile puts together, behind the declarations.
//
// A view says, for one image, what a step reads and how. A pixel is held as ints, one a channel, in
// B, G, R (, A) order; bytes between steps. The arithmetic is that of the functions of the same
// names in the CPU kernels, one rounding an operation: compile with --fmad=false.
//
// The codes of interpolations, tones and kinds of a view are declared in Python and stand in front.

typedef unsigned char byte;
typedef unsigned long long u64;

__device__ inline int clamp(int value, int low, int high) {
  return value < low ? low : value > high ? high : value;
}

template <int C>
struct Pixel {
  int c[C];
};

__device__ inline const byte* at(const View& v, int y, int x) {
  return (const byte*)v.source + y * v.step_y + x * v.step_x;
}

// A byte or a word that no thread of the launch writes.
template <typename N>
__device__ inline N read(const N* p) {
#ifdef __CUDA_ARCH__
  return __ldg(p);
#else
  return *p;
#endif
}

template <int C>
__device__ inline Pixel<C> load(const byte* p) {
  Pixel<C> made;
#pragma unroll
  for (int c = 0; c < C; c++) made.c[c] = read(p + c);
  return made;
}

template <int C>
__device__ inline Pixel<C> load(const View& v, int y, int x) {
  return load<C>(at(v, y, x));
}

// A pixel in B, G, R order, of an image that may have another; done twice it is undone.
template <int C>
__device__ inline Pixel<C> ordered(const View& v, Pixel<C> p) {
  if (C == 3 && v.swap) {
    const int blue = p.c[C - 1];
    p.c[C - 1] = p.c[0];
    p.c[0] = blue;
  }
  return p;
}

// The two taps of a bilinear resize at one place of an axis, weights in 11 bits.
struct Taps {
  int first, left, right;
};

__device__ inline Taps linear_taps(int place, double scale, int src, bool inside) {
  float position = (float)((place + 0.5) * scale - 0.5);
  Taps taps;
  taps.first = (int)floorf(position);
  float fraction = position - (float)taps.first;
  if (inside && taps.first < 0) {
    taps.first = 0;
    fraction = 0.0f;
  }
  if (inside && taps.first >= src - 1) {
    taps.first = src - 1;
    fraction = 0.0f;
  }
  taps.right = (int)rintf(fraction * 2048.0f);
  taps.left = (int)rintf((1.0f - fraction) * 2048.0f);
  return taps;
}

// Weigh four pixels: a and b of the upper line, d and e of the lower.
template <int C>
__device__ inline Pixel<C> weigh(const byte* a, const byte* b, const byte* d, const byte* e,
                                 int top, int bottom, int left, int right) {
  Pixel<C> made;
#pragma unroll
  for (int c = 0; c < C; c++) {
    int upper = (read(a + c) * left + read(b + c) * right) >> 4;
    int lower = (read(d + c) * left + read(e + c) * right) >> 4;
    made.c[c] = (((top * upper) >> 16) + ((bottom * lower) >> 16) + 2) >> 2;
  }
  return made;
}

template <int C>
__device__ inline Pixel<C> blend(const View& v, Taps ty, Taps tx) {
  int x1 = tx.first + 1 < v.src_w ? tx.first + 1 : v.src_w - 1;
  int y0 = clamp(ty.first, 0, v.src_h - 1), y1 = clamp(ty.first + 1, 0, v.src_h - 1);
  return weigh<C>(at(v, y0, tx.first), at(v, y0, x1), at(v, y1, tx.first), at(v, y1, x1), ty.left,
                  ty.right, tx.left, tx.right);
}

template <int C>
__device__ inline Pixel<C> bilinear(const View& v, int y, int x) {
  Taps tx = linear_taps(x, v.scale_x, v.src_w, true);
  Taps ty = linear_taps(y, v.scale_y, v.src_h, false);
  return blend<C>(v, ty, tx);
}

template <int C>
__device__ inline Pixel<C> halve(const View& v, int y, int x) {
  const byte *a = at(v, 2 * y, 2 * x), *b = a + v.step_x;
  const byte *d = a + v.step_y, *e = b + v.step_y;
  Pixel<C> made;
#pragma unroll
  for (int c = 0; c < C; c++) made.c[c] = (a[c] + b[c] + d[c] + e[c] + 2) >> 2;
  return made;
}

template <int C>
__device__ inline Pixel<C> nearest(const View& v, int y, int x) {
  int i = (int)floor(y * v.scale_y), j = (int)floor(x * v.scale_x);
  return load<C>(v, i < v.src_h ? i : v.src_h - 1, j < v.src_w ? j : v.src_w - 1);
}

// Weights of Keys' cubic with a = -0.75, 11 bits.
__device__ inline void cubic_weights(float x, int* weight) {
  const float a = -0.75f;
  float y = x + 1.0f, z = 1.0f - x;
  float w0 = ((a * y - 5.0f * a) * y + 8.0f * a) * y - 4.0f * a;
  float w1 = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
  float w2 = ((a + 2.0f) * z - (a + 3.0f)) * z * z + 1.0f;
  float w3 = 1.0f - w0 - w1 - w2;
  weight[0] = (int)rintf(w0 * 2048.0f);
  weight[1] = (int)rintf(w1 * 2048.0f);
  weight[2] = (int)rintf(w2 * 2048.0f);
  weight[3] = (int)rintf(w3 * 2048.0f);
}

// First source pixel and weights of K taps at one place of an axis; Lanczos comes from the host.
template <int K>
__device__ inline int wide_taps(int place, double scale, u64 table, int* weight) {
  if (K == 8) {
    const int* entry = (const int*)table + 9LL * place;
    for (int k = 0; k < 8; k++) weight[k] = entry[1 + k];
    return entry[0];
  }
  float position = (float)((place + 0.5) * scale - 0.5);
  int left = (int)floorf(position);
  cubic_weights(position - (float)left, weight);
  return left - 1;
}

// Bicubic and Lanczos: K taps along x, then along y. OpenCV's vector loop sums the first values of
// a row of the whole result in float32, the rest of the row in integers.
template <int C, int K>
__device__ Pixel<C> filter_taps(const View& v, int y, int x) {
  int wx[K], wy[K];
  int x0 = wide_taps<K>(x, v.scale_x, v.taps_x, wx), y0 = wide_taps<K>(y, v.scale_y, v.taps_y, wy);
  const float unit = 1.0f / (1 << 22);
  Pixel<C> made;
  int exact[C];
  float rounded[C];
  for (int i = 0; i < K; i++) {
    int row = clamp(y0 + i, 0, v.src_h - 1);
    int wide[C];
    for (int c = 0; c < C; c++) wide[c] = 0;
    for (int k = 0; k < K; k++) {
      const byte* p = at(v, row, clamp(x0 + k, 0, v.src_w - 1));
      for (int c = 0; c < C; c++) wide[c] += p[c] * wx[k];
    }
    for (int c = 0; c < C; c++) {
      float term = (float)wide[c] * ((float)wy[i] * unit);
      exact[c] = i == 0 ? wide[c] * wy[i] : exact[c] + wide[c] * wy[i];
      rounded[c] = i == 0 ? term : rounded[c] + term;
    }
  }
  for (int c = 0; c < C; c++) {
    int value = (exact[c] + (1 << 21)) >> 22;
    if (x * C + (C == 3 && v.swap ? 2 - c : c) < v.rounded) value = (int)rintf(rounded[c]);
    made.c[c] = clamp(value, 0, 255);
  }
  return made;
}

// The two taps of an area resize that enlarges.
__device__ inline Taps area_taps(int place, double scale, double inverse, int src, bool inside) {
  Taps taps;
  taps.first = (int)floor(place * scale);
  float fraction = (float)((place + 1) - (taps.first + 1) * inverse);
  fraction = fraction <= 0.0f ? 0.0f : fraction - floorf(fraction);
  if (inside && (taps.first < 0 || taps.first >= src - 1)) {
    taps.first = clamp(taps.first, 0, src - 1);
    fraction = 0.0f;
  }
  taps.right = (int)rintf(fraction * 2048.0f);
  taps.left = (int)rintf((1.0f - fraction) * 2048.0f);
  return taps;
}

template <int C>
__device__ Pixel<C> enlarge_area(const View& v, int y, int x) {
  double inverse_y = (double)v.dst_h / v.src_h, inverse_x = (double)v.dst_w / v.src_w;
  Taps ty = area_taps(y, v.scale_y, inverse_y, v.src_h, false);
  return blend<C>(v, ty, area_taps(x, v.scale_x, inverse_x, v.src_w, true));
}

// The source pixels that one pixel of a shrunk axis covers: a part of one, whole ones, a part.
struct Cover {
  int first, last;     // whole pixels: [first, last)
  bool before, after;  // whether a part of first - 1, and of last, is covered
  float part, whole, rest;
};

__device__ inline Cover cover(int place, double scale, int src) {
  double start = place * scale, stop = place * scale + scale;
  double cell = scale < src - start ? scale : src - start;
  Cover made;
  double last = floor(stop) < src - 1 ? floor(stop) : src - 1;
  double first = ceil(start) < last ? ceil(start) : last;
  made.first = (int)first;
  made.last = (int)last;
  made.before = first - start > 1e-3;
  made.after = stop - last > 1e-3;
  made.part = (float)((first - start) / cell);
  made.whole = (float)(1 / cell);
  double rest = stop - last;
  rest = rest < 1 ? rest : 1;
  rest = rest < cell ? rest : cell;
  made.rest = (float)(rest / cell);
  return made;
}

__device__ inline float share(const Cover& c, int at) {
  return at < c.first ? c.part : at < c.last ? c.whole : c.rest;
}

// Area: the average of the source area of a pixel, in float32.
template <int C>
__device__ Pixel<C> shrink(const View& v, int y, int x) {
  Cover cy = cover(y, v.scale_y, v.src_h), cx = cover(x, v.scale_x, v.src_w);
  float total[C];
  for (int c = 0; c < C; c++) total[c] = 0.0f;
  for (int i = cy.first - cy.before; i < cy.last + cy.after; i++) {
    float wide[C];
    for (int c = 0; c < C; c++) wide[c] = 0.0f;
    for (int j = cx.first - cx.before; j < cx.last + cx.after; j++) {
      const byte* p = at(v, i, j);
      float part = share(cx, j);
      for (int c = 0; c < C; c++) wide[c] += (float)p[c] * part;
    }
    float part = share(cy, i);
    for (int c = 0; c < C; c++) total[c] += wide[c] * part;
  }
  Pixel<C> made;
  for (int c = 0; c < C; c++) made.c[c] = clamp((int)rintf(total[c]), 0, 255);
  return made;
}

// Area by whole factors: blocks of pixels, summed in integers.
template <int C>
__device__ Pixel<C> shrink_whole(const View& v, int y, int x) {
  int fy = v.src_h / v.dst_h, fx = v.src_w / v.dst_w;
  Pixel<C> made;
  for (int c = 0; c < C; c++) made.c[c] = 0;
  for (int i = 0; i < fy; i++)
    for (int j = 0; j < fx; j++) {
      const byte* p = at(v, y * fy + i, x * fx + j);
      for (int c = 0; c < C; c++) made.c[c] += p[c];
    }
  float part = 1.0f / (float)(fy * fx);
  for (int c = 0; c < C; c++) made.c[c] = (int)rintf((float)made.c[c] * part);
  return made;
}

// The affine warp: coordinates in 1/32 pixel, weights in 15 bits, K taps along an axis.
template <int C, int K>
__device__ Pixel<C> warp(const View& v, const Plan& plan, const double* m, int y, int x) {
  const int half = K == 1 ? 512 : 16, before = K > 1 ? K / 2 - 1 : 0;
  long long X = (long long)rint((m[1] * y + m[2]) * 1024.0) + half + (long long)rint(m[0] * x * 1024.0);
  long long Y = (long long)rint((m[4] * y + m[5]) * 1024.0) + half + (long long)rint(m[3] * x * 1024.0);
  long long whole_x = X >> 10, whole_y = Y >> 10;
  int left = (int)(whole_x < -32768 ? -32768 : whole_x > 32767 ? 32767 : whole_x) - before;
  int top = (int)(whole_y < -32768 ? -32768 : whole_y > 32767 ? 32767 : whole_y) - before;
  const short* weight = (const short*)v.taps_x + (((Y >> 5) & 31) * 32 + ((X >> 5) & 31)) * (K * K);
  int total[C];
  for (int c = 0; c < C; c++) total[c] = 1 << 14;
  for (int i = 0; i < K; i++)
    for (int j = 0; j < K; j++) {
      bool inside = left + j >= 0 && left + j < v.src_w && top + i >= 0 && top + i < v.src_h;
      const byte* p = inside ? at(v, top + i, left + j) : 0;
      for (int c = 0; c < C; c++) {
        int value = inside ? p[c] : c == 3 ? 0 : plan.fill;
        if (K == 1)
          total[c] = value;
        else
          total[c] += value * weight[i * K + j];
      }
    }
  Pixel<C> made;
  for (int c = 0; c < C; c++) made.c[c] = K == 1 ? total[c] : clamp(total[c] >> 15, 0, 255);
  return made;
}

// A pixel of the image, or `fill` beside it; alpha is 0 there.
template <int C>
__device__ inline Pixel<C> or_fill(const View& v, int fill, int y, int x) {
  if (y >= 0 && y < v.src_h && x >= 0 && x < v.src_w) return load<C>(v, y, x);
  Pixel<C> made;
#pragma unroll
  for (int c = 0; c < C; c++) made.c[c] = c < 3 ? fill : 0;
  return made;
}

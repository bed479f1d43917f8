// Tone steps that need more of the window than the pixel that they change: a launch for each such
// step of a plan, one block an image. As in levels.py, sharpen.py and post_crop.py of the CPU kernels.
//
// The plan that a launch reads holds the colour steps that come before its own, which is the last of
// its tone steps.

__device__ inline unsigned add(unsigned* where) {
#ifdef __CUDA_ARCH__
  return atomicAdd(where, 1u);
#else
  return (*where)++;
#endif
}

// What a step makes of each byte of a channel, from how many pixels have it.
__device__ inline void level_table(int step, const unsigned* counts, byte* table) {
  int low = 0, high = 255;
  while (low < 255 && counts[low] == 0) low++;
  while (high > 0 && counts[high] == 0) high--;
  u64 before = 0;
  for (int k = 0; k < high; k++) before += counts[k];
  const u64 each = before / 255;
  const double scale = 255.0 / (high > low ? high - low : 1), offset = -low * scale;
  before = each / 2;
  for (int k = 0; k < 256; k++) {
    int value = k;
    if (step == AUTOCONTRAST && low < high) value = clamp((int)(k * scale + offset), 0, 255);
    if (step == EQUALIZE && each > 0) value = before / each < 255 ? (int)(before / each) : 255;
    table[k] = (byte)value;
    before += counts[k];
  }
}

// A byte blended with the mean of its 3 x 3 neighbours, itself five times; p is none at the edge.
template <int C>
__device__ inline int sharpened(const byte* p, int row, float factor) {
  int total = 4 * p[0];
  for (int y = -1; y <= 1; y++)
    for (int x = -1; x <= 1; x++) total += p[y * row + x * C];
  const int smooth = (2 * total + 13) / 26;
  const float value = (float)smooth + factor * (float)(p[0] - smooth);
  return (int)fminf(fmaxf(value, 0.0f), 255.0f);
}

template <int C>
__device__ void tone_window(const Job* job) {
  BLOCK_MEMORY unsigned counts[3][256];
  BLOCK_MEMORY byte table[3][256];
  const int n = blockIdx.y, H = job->height, W = job->width, size = H * W;
  const View& v = ((const View*)job->views)[n];
  const Plan& plan = ((const Plan*)job->plans)[n];
  if (v.source == 0 || v.target == 0) return;
  const int before = plan.tone_count - 1, step = plan.tone_op[before];
  byte* made = (byte*)v.target;
  byte* coloured = step == SHARPNESS ? made + (long long)size * C : made;  // what the step reads

  EACH_THREAD(t) {
    for (int k = t; k < 3 * 256; k += BLOCK) counts[k / 256][k % 256] = 0;
  }
  TOGETHER();

  EACH_THREAD(t) {
    for (int i = t; i < size; i += BLOCK) {
      const Pixel<C> p = colour<C>(common<C>(v, i / W, i % W), plan,
                                   (const u64*)job->sums + n * SUMS, size, before);
      for (int c = 0; c < C; c++) coloured[(long long)i * C + c] = (byte)p.c[c];
      if (step != SHARPNESS)
        for (int c = 0; c < 3; c++) add(&counts[c][p.c[c]]);
    }
  }
  TOGETHER();

  EACH_THREAD(t) {
    if (step != SHARPNESS && t < 3) level_table(step, counts[t], table[t]);
  }
  TOGETHER();

  EACH_THREAD(t) {
    for (int i = t; i < size; i += BLOCK) {
      const int y = i / W, x = i % W;
      const bool inside = y > 0 && y < H - 1 && x > 0 && x < W - 1;
      const byte* from = coloured + (long long)i * C;
      byte* to = made + (long long)i * C;
      for (int c = 0; c < C; c++) {
        int value = from[c];
        if (c < 3 && step != SHARPNESS) value = table[c][value];
        if (c < 3 && step == SHARPNESS && inside)
          value = sharpened<C>(from + c, W * C, plan.tone_arg[before]);
        to[c] = (byte)value;
      }
    }
  }
}

#define TONE(C) \
  extern "C" __global__ void __launch_bounds__(BLOCK) tone_##C(const Job* job) { tone_window<C>(job); }
#ifndef ONE_KERNEL
TONE(3) TONE(4)
#endif

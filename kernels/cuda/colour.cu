// Steps that change colours, a pixel at a time: as in colour.py, in the same order. An image has SUMS
// sums of gray values: its jitter's, and one for each tone step.

__device__ inline int round_byte(float value) {
  return (int)fminf(fmaxf(rintf(value), 0.0f), 255.0f);
}

// B, G, R weighed with the weights of R, G, B, as MXNet does; 14 bits.
template <int C>
__device__ inline int gray(const Pixel<C>& p) {
  return (4899 * p.c[0] + 9617 * p.c[1] + 1868 * p.c[2] + 8192) >> 14;
}

// Brightness, contrast or saturation by a factor; sum is that of the gray values, for contrast.
template <int C>
__device__ void adjust(Pixel<C>& p, int step, float alpha, u64 sum, int size) {
  float rest = 1.0f - alpha;
  if (step == SATURATION) {
    float light = (float)gray(p) * rest;
#pragma unroll
    for (int c = 0; c < 3; c++) p.c[c] = round_byte(light + (float)p.c[c] * alpha);
  } else {
    float beta = step == CONTRAST ? rest * (float)((double)sum * (1.0 / size)) : 0.0f;
#pragma unroll
    for (int c = 0; c < C; c++) p.c[c] = round_byte((float)p.c[c] * alpha + beta);
  }
}

// The first `steps` of brightness, contrast and saturation in the plan's order.
template <int C>
__device__ void jitter(Pixel<C>& p, const Plan& plan, u64 sum, int size, int steps) {
  for (int k = 0; k < steps; k++) {
    int step = plan.jitter_order[k];
    adjust(p, step, plan.jitter_gain[step], sum, size);
  }
}

// One tone step.
template <int C>
__device__ void tone(Pixel<C>& p, int step, float value, u64 sum, int size) {
  if (step <= SATURATION) {
    adjust(p, step, value, sum, size);
    return;
  }
  // SOLARIZE's value is a level of up to 255, of which no mask is made
  int mask = step == POSTERIZE ? 0xFF << (8 - (int)value) : 0;
#pragma unroll
  for (int c = 0; c < 3; c++) {
    if (step == POSTERIZE)
      p.c[c] &= mask;
    else
      p.c[c] = (float)p.c[c] >= value ? 255 - p.c[c] : p.c[c];
  }
}

// Hue (0 to 180), lightness and saturation (0 to 1) of colours from 0 to 1.
__device__ inline void to_hls(float b, float g, float r, float* h, float* l, float* s) {
  float high = fmaxf(fmaxf(r, g), b), low = fminf(fminf(r, g), b), spread = high - low;
  float lightness = (high + low) * 0.5f, hue = 0.0f, saturation = 0.0f;
  if (spread > 1.1920929e-07f) {
    saturation = lightness < 0.5f ? spread / (high + low) : spread / (2.0f - (high + low));
    spread = 60.0f / spread;
    if (high == r)
      hue = (g - b) * spread;
    else if (high == g)
      hue = (b - r) * spread + 120.0f;
    else
      hue = (r - g) * spread + 240.0f;
    if (hue < 0.0f) hue += 360.0f;
  }
  *h = hue * 0.5f;
  *l = lightness;
  *s = saturation;
}

__device__ inline void from_hls(float hue, float l, float s, float* b, float* g, float* r) {
  if (s == 0.0f) {
    *b = *g = *r = l;
    return;
  }
  float p2 = l <= 0.5f ? l * (1.0f + s) : l + s - l * s;
  float p1 = 2.0f * l - p2;
  hue *= 6.0f / 180.0f;
  if (hue >= 6.0f) hue -= 6.0f;
  int sector = (int)floorf(hue);
  hue -= (float)sector;
  float falling = p1 + (p2 - p1) * (1.0f - hue), rising = p1 + (p2 - p1) * hue;
  switch (sector) {
    case 0: *b = p1, *g = rising, *r = p2; break;
    case 1: *b = p1, *g = p2, *r = falling; break;
    case 2: *b = rising, *g = p2, *r = p1; break;
    case 3: *b = p2, *g = falling, *r = p1; break;
    case 4: *b = p2, *g = p1, *r = rising; break;
    default: *b = falling, *g = p1, *r = p2; break;
  }
}

template <int C>
__device__ void shift_hls(Pixel<C>& p, const int* shift) {
  const float unit = 1.0f / 255.0f;
  float h, l, s, b, g, r;
  to_hls((float)p.c[0] * unit, (float)p.c[1] * unit, (float)p.c[2] * unit, &h, &l, &s);
  int hue = clamp(round_byte(h) + shift[0], 0, 180);
  int light = clamp(round_byte(l * 255.0f) + shift[1], 0, 255);
  int satur = clamp(round_byte(s * 255.0f) + shift[2], 0, 255);
  from_hls((float)hue, (float)light * unit, (float)satur * unit, &b, &g, &r);
  p.c[0] = round_byte(b * 255.0f);
  p.c[1] = round_byte(g * 255.0f);
  p.c[2] = round_byte(r * 255.0f);
}

template <int C>
__device__ inline void shift_pca(Pixel<C>& p, const Plan& plan) {
#pragma unroll
  for (int c = 0; c < 3; c++)
    p.c[c] = (int)fminf(fmaxf((float)p.c[c] + plan.pca[c], 0.0f), 255.0f);
}

// Every change of colour that a plan asks for, up to its first `tones` tone steps; sums are those of
// the gray values before each contrast. A call, not inlined: few plans have any, and thirty last
// steps would each hold a copy.
template <int C>
__device__ __noinline__ Pixel<C> colour(Pixel<C> p, const Plan& plan, const u64* sums, int size,
                                        int tones) {
  if constexpr (C >= 3) {
    if (plan.jitter) jitter(p, plan, sums[0], size, 3);
    if (plan.hls_on) shift_hls(p, plan.hls);
    if (plan.pca_on) shift_pca(p, plan);
    for (int k = 0; k < tones; k++) tone(p, plan.tone_op[k], plan.tone_arg[k], sums[1 + k], size);
  }
  return p;
}

// The change of colour that comes before all geometry but the first resize.
template <int C>
__device__ Pixel<C> pre_colour(Pixel<C> p, const Plan& plan) {
  if constexpr (C >= 3) {
    if (plan.pre_colour & PRE_COLOUR_HLS) shift_hls(p, plan.pre_colour_hls);
  }
  if (plan.pre_colour & PRE_COLOUR_GAIN) {
#pragma unroll
    for (int c = 0; c < C; c++) p.c[c] = round_byte((float)p.c[c] * plan.pre_colour_gain);
  }
  return p;
}

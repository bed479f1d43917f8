// The types of a result's values, made of a byte and its channel's terms of the normalisation.
//
// Bytes come as floats, lifted: from 2^23 to 2^24 the last bit of a float is worth 1, so that 2^23
// added to a whole number puts it into the low bits. It needs no conversion; those are slow.
const float UNIT = 8388608.0f;

// A whole number, lifted, for 0 <= p < 2^23.
__device__ inline float lifted(int p) { return __uint_as_float(0x4B000000u + (unsigned)p); }

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
  __device__ static float32 from(float p, float mean, float factor, float shift) {
    return {((p - UNIT) - mean) * factor + shift};
  }
};
struct float16 {
  unsigned short v;
  __device__ static float16 from(float p, float mean, float factor, float shift) {
    return {half_bits(((p - UNIT) - mean) * factor + shift)};
  }
};
struct bfloat16 {
  unsigned short v;
  __device__ static bfloat16 from(float p, float mean, float factor, float shift) {
    return {bfloat16_bits(((p - UNIT) - mean) * factor + shift)};
  }
};
// Their ratios, for detection: the second term is the std, the third the scale.
struct float32_ratio {
  float v;
  __device__ static float32_ratio from(float p, float mean, float std, float scale) {
    return {((p - UNIT) - mean) / std * scale};
  }
};
struct float16_ratio {
  unsigned short v;
  __device__ static float16_ratio from(float p, float mean, float std, float scale) {
    return {half_bits(((p - UNIT) - mean) / std * scale)};
  }
};
struct bfloat16_ratio {
  unsigned short v;
  __device__ static bfloat16_ratio from(float p, float mean, float std, float scale) {
    return {bfloat16_bits(((p - UNIT) - mean) / std * scale)};
  }
};
struct uint8 {
  byte v;
  __device__ static uint8 from(float p, float, float, float) { return {(byte)__float_as_uint(p)}; }
};
struct int8 {
  signed char v;
  __device__ static int8 from(float p, float mean, float, float) {
    return {(signed char)clamp((byte)__float_as_uint(p) - (int)mean, -128, 127)};
  }
};

// The words of CUDA that the kernels use, for a host compiler: one thread after the other.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#define __device__
#define __global__
#define __noinline__
#define __launch_bounds__(...)

// the parts of a block's work, each by all of its threads before the next part begins
#define EACH_THREAD(t) if (threadIdx.x == 0) for (int t = 0; t < (int)blockDim.x; t++)
#define TOGETHER()
#define BLOCK_MEMORY static thread_local

struct Three {
  unsigned x, y, z;
};
static thread_local Three blockIdx, threadIdx, blockDim, gridDim;

static inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

static inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned bits) {
  return (unsigned)(((uint64_t)high << 32 | low) >> (bits & 31));
}

static inline unsigned __byte_perm(unsigned low, unsigned high, unsigned places) {
  uint64_t bytes = (uint64_t)high << 32 | low;
  unsigned made = 0;
  for (int k = 0; k < 4; k++) made |= (bytes >> 8 * (places >> 4 * k & 7) & 0xFF) << 8 * k;
  return made;
}

static inline unsigned __dp2a_lo(unsigned pair, unsigned bytes, unsigned sum) {
  return sum + (pair & 0xFFFF) * (bytes & 0xFF) + (pair >> 16) * (bytes >> 8 & 0xFF);
}

static inline unsigned __dp2a_hi(unsigned pair, unsigned bytes, unsigned sum) {
  return __dp2a_lo(pair, bytes >> 16, sum);
}

// sums rounded towards zero, where a double holds them exactly
static inline float host_to_zero(double exact) {
  float made = (float)exact;
  return std::fabs((double)made) > std::fabs(exact) ? std::nextafterf(made, 0.0f) : made;
}

static inline float __fmaf_rz(float a, float b, float c) { return host_to_zero((double)a * b + c); }

static inline float __fadd_rz(float a, float b) { return host_to_zero((double)a + b); }

static inline float host_half_value(unsigned short bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 0x3FF;
  float size = exponent == 31 ? (mantissa ? NAN : INFINITY)
               : exponent     ? std::ldexp((float)(mantissa | 0x400), exponent - 25)
                              : std::ldexp((float)mantissa, -24);
  return bits & 0x8000 ? -size : size;
}

static inline unsigned short host_half_bits(float value) {
  unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return sign | 0x7E00u;
  if (bits >= 0x477FF000u) return sign | 0x7C00u;
  if (bits < 0x33000001u) return sign;
  int exponent = (int)(bits >> 23) - 127;
  unsigned mantissa = (bits & 0x7FFFFFu) | 0x800000u;
  int shift = exponent < -14 ? -1 - exponent : 13;  // bits that do not fit
  unsigned half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
  half += rest > tie || (rest == tie && (half & 1));
  if (exponent >= -14) half += (unsigned)(exponent + 14) << 10;  // the hidden bit adds one more
  return (unsigned short)(sign | half);
}

static inline unsigned long long atomicAdd(unsigned long long* where, unsigned long long what) {
  unsigned long long before = *where;
  *where += what;
  return before;
}

struct Job;
extern "C" void host_launch(void (*kernel)(const Job*), const Job* job, unsigned x, unsigned y,
                            unsigned z, unsigned threads) {
  gridDim = {x, y, z};
  blockDim = {threads, 1, 1};
  for (unsigned k = 0; k < z; k++)
    for (unsigned j = 0; j < y; j++)
      for (unsigned i = 0; i < x; i++)
        for (unsigned t = 0; t < threads; t++) {
          blockIdx = {i, j, k};
          threadIdx = {t, 0, 0};
          kernel(job);
        }
}

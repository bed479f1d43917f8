// Mix the rows of a finished batch in place: each row with its partner's old values.
//
// Partners are a permutation. A thread follows its cycles for one element of the rows: what a row
// takes is read before the next row, which it belongs to, is written, so that one number is kept and
// every value is read and written once.

// An element that the threads treat, counted among those of a row: all, or those inside a box.
__device__ inline long long element(const Mix& mix, long long i) {
  if (mix.box_h == 0) return i;
  int c, y, x;
  if (mix.nhwc) {
    c = (int)(i % mix.channels);
    x = (int)(i / mix.channels % mix.box_w);
    y = (int)(i / mix.channels / mix.box_w);
    return ((long long)(mix.box_y + y) * mix.width + mix.box_x + x) * mix.channels + c;
  }
  x = (int)(i % mix.box_w);
  y = (int)(i / mix.box_w % mix.box_h);
  c = (int)(i / mix.box_w / mix.box_h);
  return ((long long)c * mix.height + mix.box_y + y) * mix.width + mix.box_x + x;
}

__device__ inline float half_value(unsigned short bits) {
#ifdef __CUDA_ARCH__
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#else
  return host_half_value(bits);
#endif
}

struct mix_float32 {
  float v;
  __device__ static mix_float32 of(mix_float32 own, mix_float32 other, const Mix& mix) {
    return {own.v * mix.share + other.v * mix.rest};
  }
};
struct mix_float16 {
  unsigned short v;
  __device__ static mix_float16 of(mix_float16 own, mix_float16 other, const Mix& mix) {
    return {half_bits(half_value(own.v) * mix.share + half_value(other.v) * mix.rest)};
  }
};
struct mix_bfloat16 {
  unsigned short v;
  __device__ static mix_bfloat16 of(mix_bfloat16 own, mix_bfloat16 other, const Mix& mix) {
    float a = __uint_as_float((unsigned)own.v << 16), b = __uint_as_float((unsigned)other.v << 16);
    return {bfloat16_bits(a * mix.share + b * mix.rest)};
  }
};
// what lies in the box is the partner's, whatever it means
struct paste_4 {
  unsigned v;
  __device__ static paste_4 of(paste_4, paste_4 other, const Mix&) { return other; }
};
struct paste_2 {
  unsigned short v;
  __device__ static paste_2 of(paste_2, paste_2 other, const Mix&) { return other; }
};

template <typename T>
__device__ void mix_rows(const Mix* job) {
  const Mix& mix = *job;
  const int* order = (const int*)mix.order;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < mix.count;
       i += (long long)gridDim.x * blockDim.x) {
    T* column = (T*)mix.data + element(mix, i);
    T first = {0}, own = {0};
    for (int k = 0; k < mix.rows; k++) {
      const int row = order[k] < 0 ? ~order[k] : order[k];
      if (order[k] < 0) first = own = column[row * mix.size];  // a cycle begins
      const bool more = k + 1 < mix.rows && order[k + 1] >= 0;
      const T other = more ? column[order[k + 1] * mix.size] : first;
      column[row * mix.size] = T::of(own, other, mix);
      own = other;
    }
  }
}

#define MIX(T) \
  extern "C" __global__ void __launch_bounds__(BLOCK) rows_##T(const Mix* job) { mix_rows<T>(job); }
#ifndef ONE_KERNEL
MIX(mix_float32)
MIX(mix_float16)
MIX(mix_bfloat16)
MIX(paste_4)
MIX(paste_2)
#endif

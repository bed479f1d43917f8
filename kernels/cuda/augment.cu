// Execute plans on a GPU: decoded pixels in, values of a batch out.
//
// A step that another step reads is made in memory, by stage_C; the last one, with all that changes
// colours and the normalisation, is one launch, finish_TYPE_LAYOUT_C. The common plans (one resize,
// one crop, a flip) need that launch alone. Only the windows that are asked for are computed.
//
// A host compiler takes this unit too, behind a few lines that define the CUDA words.

// One pixel of a view's window: y and x count from the window's corner. The common kinds stand
// alone: the sums of gray values, as the last step, need no other.
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
    FILTER_CASES
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
    case POST_AFFINE: return warp<C, 2>(v, plan, plan.post_affine, row, column);
    case PRE_COLOUR: return ordered(v, pre_colour(ordered(v, load<C>(v, row, column)), plan));
    case EXPAND: return or_fill<C>(v, plan.fill, row - plan.expand_y, column - plan.expand_x);
    case LETTERBOX: return or_fill<C>(v, 0, row, column);
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
    Pixel<C> made = ordered(v, window<C>(v, plan, i / v.w, i % v.w));
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

#define STAGE(C) \
  extern "C" __global__ void __launch_bounds__(BLOCK) stage_##C(const Job* job) { stage<C>(job); }
#define GRAY_SUM(C) \
  extern "C" __global__ void gray_sum_##C(const Job* job) { gray_sum<C>(job); }
#ifndef ONE_KERNEL
STAGE(1) STAGE(3) STAGE(4)
GRAY_SUM(3) GRAY_SUM(4)
#endif

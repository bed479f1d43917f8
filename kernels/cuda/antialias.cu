// Pillow's bilinear resize: a triangle as wide as the image shrinks, rows first, a byte between.
template <int C>
__device__ Pixel<C> triangle(const View& v, int y, int x) {
  const int *table_y = (const int*)v.taps_y, *table_x = (const int*)v.taps_x;
  const int* ty = table_y + 1 + y * table_y[0];
  const int* tx = table_x + 1 + x * table_x[0];
  int total[C];
  for (int c = 0; c < C; c++) total[c] = 1 << 21;
  for (int i = 0; i < ty[1]; i++) {
    int wide[C];
    for (int c = 0; c < C; c++) wide[c] = 1 << 21;
    for (int j = 0; j < tx[1]; j++) {
      const byte* p = at(v, ty[0] + i, tx[0] + j);
      for (int c = 0; c < C; c++) wide[c] += p[c] * tx[2 + j];
    }
    for (int c = 0; c < C; c++) total[c] += clamp(wide[c] >> 22, 0, 255) * ty[2 + i];
  }
  Pixel<C> made;
  for (int c = 0; c < C; c++) made.c[c] = clamp(total[c] >> 22, 0, 255);
  return made;
}

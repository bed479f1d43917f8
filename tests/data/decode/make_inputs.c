/* Make the JPEGs that neither OpenCV nor Pillow writes; needs libjpeg-turbo built with arithmetic
 * coding (Debian's libjpeg62-turbo-dev):
 *
 *   cc make_inputs.c -ljpeg -lm -o /tmp/make_inputs && /tmp/make_inputs FOLDER
 *
 * The picture is two waves and a ramp, 56 x 40, computed here. Files of one group hold the same
 * coefficients, so that they decode to the same pixels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { WIDTH = 56, HEIGHT = 40 };

static void paint(unsigned char *row, int y, int channels)
{
    for (int x = 0; x < WIDTH; x++)
        for (int c = 0; c < channels; c++) {
            double wave = c == 0   ? sin(x * 0.21 + y * 0.05)
                          : c == 1 ? cos(y * 0.3 - x * 0.07)
                                   : (x + y) / 47.0 - 1;
            if (c == 3)
                wave = sin((x - y) * 0.11);
            row[channels * x + c] = (unsigned char)(128 + 110 * wave);
        }
}

static void make(const char *folder, const char *name, int channels, int arithmetic, int script,
                 int h, int v)
{
    char path[4096];
    struct jpeg_compress_struct out;
    struct jpeg_error_mgr errors;
    unsigned char row[WIDTH * 4], *rows[1] = {row};
    static jpeg_scan_info separate[3] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0},
                                         {1, {2}, 0, 63, 0, 0}};
    snprintf(path, sizeof path, "%s/%s.jpg", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        exit(1);
    out.err = jpeg_std_error(&errors);
    jpeg_create_compress(&out);
    jpeg_stdio_dest(&out, file);
    out.image_width = WIDTH, out.image_height = HEIGHT;
    out.input_components = channels;
    out.in_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&out);
    jpeg_set_colorspace(&out, channels == 4 ? JCS_YCCK : JCS_YCbCr);
    jpeg_set_quality(&out, 90, TRUE);
    out.dct_method = JDCT_ISLOW;
    out.arith_code = arithmetic;
    out.comp_info[0].h_samp_factor = h, out.comp_info[0].v_samp_factor = v;
    if (channels == 4)
        out.comp_info[3].h_samp_factor = h, out.comp_info[3].v_samp_factor = v;
    if (script == 1)
        jpeg_simple_progression(&out);
    if (script == 2)
        out.scan_info = separate, out.num_scans = 3;
    jpeg_start_compress(&out, TRUE);
    for (int y = 0; y < HEIGHT; y++) {
        paint(row, y, channels);
        jpeg_write_scanlines(&out, rows, 1);
    }
    jpeg_finish_compress(&out);
    jpeg_destroy_compress(&out);
    fclose(file);
}

int main(int count, char **arguments)
{
    const char *folder = count > 1 ? arguments[1] : ".";
    make(folder, "one_scan", 3, 0, 0, 2, 2);
    make(folder, "three_scans", 3, 0, 2, 2, 2);
    make(folder, "progressive", 3, 0, 1, 2, 2);
    make(folder, "arithmetic", 3, 1, 0, 2, 2);
    make(folder, "arithmetic_progressive", 3, 1, 1, 2, 2);
    make(folder, "ycck", 4, 0, 0, 2, 2);
    make(folder, "ycck_progressive", 4, 0, 1, 2, 2);
    make(folder, "four_one_zero", 3, 0, 0, 4, 2);
    return 0;
}

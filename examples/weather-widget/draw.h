/* draw.h - antialiased shapes and text, one band of rows at a time.
 *
 * A picture is never whole in memory: the scene is drawn once for each band of DRAW_ROWS rows, and each call skips what
 * does not touch the band. So 2000 x 1500 pixels cost 192 kB instead of 9 MB, and an instance stays cheap to copy.
 * Coordinates are pixels from the top left corner of the whole picture; a pixel's middle lies at .5.
 */
#ifndef DRAW_H
#define DRAW_H

#include <stdint.h>

enum { DRAW_MAX_WIDTH = 2000, DRAW_ROWS = 32 };

/* A colour, red, green and blue from 0 to 1 (sRGB), and how much of it covers what is below. */
typedef struct {
    float r, g, b, a;
} ink;

/* What a shape is filled with: one ink, or an ink for each height (y in pixels). */
typedef struct {
    ink flat;
    ink (*at)(float y);
} paint;

typedef enum { LEFT, MIDDLE, RIGHT } anchor;

ink ink_of(uint32_t rgb, float alpha);
ink ink_mix(ink a, ink b, float t);
paint plain(ink flat);

/* Chooses the band: rows from `top` on, `width` pixels each; everything drawn goes there. */
void draw_band(int width, int top, int rows);
/* A row of the band, 3 bytes a pixel. */
const uint8_t *draw_row(int row);

void draw_box(float x0, float y0, float x1, float y1, float radius, paint fill);
void draw_line(float x0, float y0, float x1, float y1, float width, ink colour);
void draw_disc(float x, float y, float radius, ink colour);

/* Text is placed by its baseline; `cap` is the height of a capital letter in pixels, `weight` the pen's width
 * relative to it (0.10 light, 0.15 bold). Texts are UTF-8. */
float text_width(const char *text, float cap);
void draw_text(float x, float baseline, float cap, float weight, anchor side, ink colour, const char *text);

#endif

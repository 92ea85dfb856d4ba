/* font.h - the card's lettering: skeletons of strokes, drawn with a round pen. */
#ifndef FONT_H
#define FONT_H

#include <stdint.h>

/* One stroke of a pen: a line, or a dot when both ends meet. y grows upwards from the baseline. */
typedef struct {
    float x0, y0, x1, y1;
} stroke;

enum { FONT_CAP = 28, FONT_X = 20, FONT_MAX_STROKES = 160 };

/* Takes one character off a UTF-8 text; 0 at its end. Bytes that are no UTF-8 come out as U+FFFD. */
uint32_t font_next(const char **text);

/* The skeleton of a character in font units (cap height FONT_CAP, x-height FONT_X), at most FONT_MAX_STROKES strokes;
 * returns their number and sets `advance`, the distance to the next character. Strokes may be NULL: only measured. */
int font_glyph(uint32_t character, stroke *strokes, float *advance);

#endif

/* card.h - the picture: a year of weather on one card. */
#ifndef CARD_H
#define CARD_H

#include <stdint.h>

#include "days.h"

enum { CARD_MIN_WIDTH = 200, CARD_MAX_WIDTH = 2000, CARD_MIN_HEIGHT = 120, CARD_MAX_HEIGHT = 1500 };

typedef struct {
    const char *title;    /* "Seattle"; years and number of days are added */
    const char *forecast; /* "Light rain, 7.0 to 12.5 °C", or NULL when none is known */
    const summary *days;
} card;

/* Draws the card as a PNG into out; returns its size in bytes, or 0 when it does not fit. Width and height in pixels,
 * within the bounds above. */
uint32_t card_png(const card *what, int width, int height, uint8_t *out, uint32_t cap);

#endif

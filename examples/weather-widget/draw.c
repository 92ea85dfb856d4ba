/* draw.c - every shape is a distance: how far a pixel's middle lies from the shape's edge says how much is covered. */
#include "draw.h"

#include <stddef.h>

#include "font.h"

static uint8_t pixels[DRAW_ROWS][DRAW_MAX_WIDTH * 3];
static int band_width, band_top, band_rows;

static float low(float a, float b) { return a < b ? a : b; }
static float high(float a, float b) { return a > b ? a : b; }
static float unit(float a) { return low(high(a, 0), 1); }
static float size(float a) { return a < 0 ? -a : a; }

ink ink_of(uint32_t rgb, float alpha) {
    ink i = {(float)(rgb >> 16 & 255) / 255, (float)(rgb >> 8 & 255) / 255, (float)(rgb & 255) / 255, alpha};
    return i;
}

ink ink_mix(ink a, ink b, float t) {
    ink i = {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t, a.a + (b.a - a.a) * t};
    return i;
}

paint plain(ink flat) {
    paint p = {flat, NULL};
    return p;
}

void draw_band(int width, int top, int rows) {
    band_width = width;
    band_top = top;
    band_rows = rows;
}

const uint8_t *draw_row(int row) { return pixels[row]; }

static void blend(int x, int y, ink colour, float cover) {
    uint8_t *at = &pixels[y - band_top][x * 3];
    float a = cover * colour.a;
    if (a >= 1) {
        at[0] = (uint8_t)(colour.r * 255 + 0.5f);
        at[1] = (uint8_t)(colour.g * 255 + 0.5f);
        at[2] = (uint8_t)(colour.b * 255 + 0.5f);
        return;
    }
    at[0] = (uint8_t)((float)at[0] * (1 - a) + colour.r * 255 * a + 0.5f);
    at[1] = (uint8_t)((float)at[1] * (1 - a) + colour.g * 255 * a + 0.5f);
    at[2] = (uint8_t)((float)at[2] * (1 - a) + colour.b * 255 * a + 0.5f);
}

/* Cuts a rectangle to whole pixels of the band; false when nothing is left of it. */
static int clip(float x0, float y0, float x1, float y1, int area[4]) {
    int top = band_top, bottom = band_top + band_rows;
    if (!(x1 > 0) || !(y1 > (float)top) || !(x0 < (float)band_width) || !(y0 < (float)bottom)) return 0;
    area[0] = (int)high(x0, 0);
    area[1] = (int)high(y0, (float)top);
    area[2] = (int)low(x1 + 1, (float)band_width);
    area[3] = (int)low(y1 + 1, (float)bottom);
    return 1;
}

void draw_box(float x0, float y0, float x1, float y1, float radius, paint fill) {
    int area[4];
    float mx = (x0 + x1) / 2, my = (y0 + y1) / 2, hx = (x1 - x0) / 2 - radius, hy = (y1 - y0) / 2 - radius;
    if (!clip(x0, y0, x1, y1, area)) return;
    for (int y = area[1]; y < area[3]; y++) {
        ink colour = fill.at ? fill.at((float)y + 0.5f) : fill.flat;
        float fy = (float)y;
        for (int x = area[0]; x < area[2]; x++) {
            float fx = (float)x, cover;
            if (radius <= 0) { /* square corners: the exact share of the pixel */
                cover = unit(low(fx + 1, x1) - high(fx, x0)) * unit(low(fy + 1, y1) - high(fy, y0));
            } else {
                float dx = size(fx + 0.5f - mx) - hx, dy = size(fy + 0.5f - my) - hy;
                float ox = high(dx, 0), oy = high(dy, 0);
                cover = unit(0.5f + radius - __builtin_sqrtf(ox * ox + oy * oy) - low(high(dx, dy), 0));
            }
            if (cover > 0) blend(x, y, colour, cover);
        }
    }
}

/* The square of the distance from a point to a stroke. */
static float apart(float x, float y, const stroke *s) {
    float dx = s->x1 - s->x0, dy = s->y1 - s->y0, length = dx * dx + dy * dy;
    float t = length > 0 ? unit(((x - s->x0) * dx + (y - s->y0) * dy) / length) : 0;
    float ox = x - s->x0 - t * dx, oy = y - s->y0 - t * dy;
    return ox * ox + oy * oy;
}

/* Strokes of one pen, joined: each pixel is covered once, however many strokes meet there. */
static void draw_strokes(const stroke *strokes, int n, float width, ink colour) {
    float x0 = 1e9f, y0 = 1e9f, x1 = -1e9f, y1 = -1e9f, reach = width / 2 + 0.5f;
    int area[4];
    for (int i = 0; i < n; i++) {
        x0 = low(x0, low(strokes[i].x0, strokes[i].x1));
        x1 = high(x1, high(strokes[i].x0, strokes[i].x1));
        y0 = low(y0, low(strokes[i].y0, strokes[i].y1));
        y1 = high(y1, high(strokes[i].y0, strokes[i].y1));
    }
    if (!n || !clip(x0 - reach, y0 - reach, x1 + reach, y1 + reach, area)) return;
    for (int y = area[1]; y < area[3]; y++) {
        for (int x = area[0]; x < area[2]; x++) {
            float nearest = reach * reach;
            for (int i = 0; i < n; i++) nearest = low(nearest, apart((float)x + 0.5f, (float)y + 0.5f, &strokes[i]));
            if (nearest < reach * reach) blend(x, y, colour, low(unit(reach - __builtin_sqrtf(nearest)), width));
        }
    }
}

void draw_line(float x0, float y0, float x1, float y1, float width, ink colour) {
    stroke line = {x0, y0, x1, y1};
    draw_strokes(&line, 1, width, colour);
}

void draw_disc(float x, float y, float radius, ink colour) { draw_line(x, y, x, y, radius * 2, colour); }

float text_width(const char *text, float cap) {
    float width = 0, advance;
    for (uint32_t c; (c = font_next(&text));) {
        font_glyph(c, NULL, &advance);
        width += advance;
    }
    return width * cap / FONT_CAP;
}

/* Font height to pixels, so that baseline, x-height and capitals end on whole pixels: level strokes stay crisp. */
static float hint(float y, float cap) {
    float small = (float)(int)(cap * FONT_X / FONT_CAP + 0.5f), tall = (float)(int)(cap + 0.5f);
    if (y <= 0) return y * cap / FONT_CAP;
    if (y <= FONT_X) return y * small / FONT_X;
    return small + (y - FONT_X) * (tall - small) / (FONT_CAP - FONT_X);
}

void draw_text(float x, float baseline, float cap, float weight, anchor side, ink colour, const char *text) {
    static stroke strokes[FONT_MAX_STROKES];
    float scale = cap / FONT_CAP, width = high(cap * weight, 1.05f), ground = (float)(int)baseline + 0.5f;
    if (ground + cap < (float)band_top || ground - 1.6f * cap > (float)(band_top + band_rows)) return;
    if (side != LEFT) x -= text_width(text, cap) * (side == RIGHT ? 1 : 0.5f);
    for (uint32_t c; (c = font_next(&text));) {
        float advance;
        int n = font_glyph(c, strokes, &advance);
        for (int i = 0; i < n; i++) {
            stroke *s = &strokes[i];
            int dot = s->x0 == s->x1 && s->y0 == s->y1;
            s->x0 = x + s->x0 * scale;
            s->x1 = x + s->x1 * scale;
            s->y0 = ground - hint(s->y0, cap);
            s->y1 = ground - hint(s->y1, cap);
            if (dot) s->x0 -= 0.02f * cap, s->x1 += 0.02f * cap; /* a dot is a little heavier than the pen */
        }
        draw_strokes(strokes, n, width, colour);
        x += advance * scale;
    }
}

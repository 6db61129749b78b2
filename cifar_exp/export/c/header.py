"""The header of an exported network: the C interface of contract section 9."""

from cifar_exp import __version__

HEADER = """\
/* {name}: {classes} classes from images of {height} × {width} pixels, {channels} bytes each.
 * Written by cifar-exp {version}. C99, no allocation, no floating point at inference.
 *
 *     static int32_t arena[NETWORK_ARENA_BYTES / 4];
 *     int32_t logits[NETWORK_CLASSES];
 *     memcpy(network_input(arena), pixels, NETWORK_INPUT_BYTES);
 *     network_run(arena, logits);
 *     puts(network_class_names[network_class(logits)]);
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_ARENA_BYTES {arena} /* working memory, aligned to 4 bytes, free between runs */
#define NETWORK_CLASSES {classes}
#define NETWORK_INPUT_HEIGHT {height}
#define NETWORK_INPUT_WIDTH {width}
#define NETWORK_INPUT_CHANNELS {channels}
#define NETWORK_INPUT_BYTES {pixels} /* height × width × channels */

#ifdef __cplusplus
extern "C" {{
#endif

/* Where the raw pixels 0–255 of an image go: row by row, channels last. The run overwrites them. */
uint8_t *network_input(void *arena);

/* Compute the logits of the image at network_input(arena); times network_logit_scale they are those of the training. */
void network_run(void *arena, int32_t logits[NETWORK_CLASSES]);

/* Return the index of the largest logit, the first of equal ones. */
int network_class(const int32_t logits[NETWORK_CLASSES]);

extern const char *const network_class_names[NETWORK_CLASSES];
extern const float network_logit_scale;

#ifdef __cplusplus
}}
#endif

#endif
"""


def header_text(name: str, input_shape: tuple[int, ...], classes: int, arena_bytes: int) -> str:
    """Return the header with the prefix `network`; `input_shape` is (channels, height, width)."""
    channels, height, width = input_shape
    return HEADER.format(
        name=name,
        version=__version__,
        channels=channels,
        height=height,
        width=width,
        pixels=channels * height * width,
        classes=classes,
        arena=arena_bytes,
    )

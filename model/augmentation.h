/* What a network that is trained on augmented images is told of how each was augmented, so that it does not
 * draw such images by itself: told nothing, 0, it draws as the data are. Karras et al. 2022 (arXiv:2206.00364),
 * appendix F.2, whose numbers these are but for the horizontal mirror.
 */
#ifndef MODEL_AUGMENTATION_H
#define MODEL_AUGMENTATION_H

/* Turned upside down; logarithm of the scale; cosine - 1 and sine of a rotation; a stretch along and across an
 * axis; a shift to the right and down. */
enum { AUGMENTATION_NUMBERS = 8 };

#endif

/* softdiff-convert dataset: pictures, prepared once, as one file that trainings open at once. */
#ifndef TOOLS_CONVERT_DATASET_H
#define TOOLS_CONVERT_DATASET_H

int dataset_main(int argc, char **argv);

#endif

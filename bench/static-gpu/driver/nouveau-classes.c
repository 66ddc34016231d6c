// Preloaded before Mesa's null nouveau device (libnouveau_noop_drm_shim.so), which knows no chip after Ampere: answers the driver's
// question for the chip's object classes with those of Ada, Hopper and Blackwell. Without it NVK finds no compute class there.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

// DRM_NOUVEAU_NVIF and its request for the list of classes, as Linux' nouveau driver lays them out
enum { DRM_IOCTL_BASE = 'd', DRM_NOUVEAU_NVIF = 0x47, NVIF_SCLASS = 0x01 };
struct nvif_request {
  uint8_t version, type, padding[4], owner, route;
  uint64_t token, object;
};
struct nvif_class {
  int32_t oclass;
  int16_t least_version, most_version;
};
struct nvif_class_list {
  uint8_t version, count, padding[6];
  struct nvif_class classes[];
};

struct chip_classes {
  long family;
  int copy, eng3d, compute;
};
static const struct chip_classes KNOWN[] = {
  { 0x180, 0xc8b5, 0xcb97, 0xcbc0 }, // Hopper
  { 0x190, 0xc7b5, 0xc997, 0xc9c0 }, // Ada
  { 0x1a0, 0xc9b5, 0xcd97, 0xcdc0 }, // Blackwell, data center
  { 0x1b0, 0xcab5, 0xce97, 0xcec0 }, // Blackwell, GeForce
};
// a channel and 2D: the same for all of them
enum { COMMON_CLASS = 0xa140, TWOD_CLASS = 0x902d, CLASSES = 5 };

static const struct chip_classes *classes_of_chip(void) {
  const char *text = getenv("NOUVEAU_CHIPSET");
  long family = text ? strtol(text, NULL, 16) & ~0xfL : 0;
  for (unsigned i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
    if (KNOWN[i].family == family) return &KNOWN[i];
  return NULL;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*next)(int, unsigned long, void *);
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if (!next) next = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
  int result = next(fd, request, argument);
  if (result != 0 || ((request >> 8) & 0xff) != DRM_IOCTL_BASE || (request & 0xff) != DRM_NOUVEAU_NVIF) return result;
  const struct nvif_request *asked = argument;
  const struct chip_classes *chip = classes_of_chip();
  if (asked->type != NVIF_SCLASS || !chip) return result;
  struct nvif_class_list *answer = (struct nvif_class_list *)(asked + 1);
  // the driver asks twice: first for the count alone, then with room for the list
  if (answer->count < CLASSES - 1 || answer->classes[0].oclass == 0) return result;
  const int classes[CLASSES] = { COMMON_CLASS, chip->copy, TWOD_CLASS, chip->eng3d, chip->compute };
  for (int i = 0; i < CLASSES; i++) answer->classes[i] = (struct nvif_class){ classes[i], -1, -1 };
  return result;
}

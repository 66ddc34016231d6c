// A Vulkan layer that asks the driver what its compiler says of every compute pipeline (VK_KHR_pipeline_executable_properties), and
// writes it into $STATISTICS_FOLDER: TAG.stats, a line for each figure; TAG.E.I.ir, each representation of the shader, assembly
// among them; TAG.log, what the driver printed meanwhile. TAG is $STATISTICS_TAG. Without the folder nothing is written.
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>

#define EXPORT __attribute__((visibility("default")))
enum { MOST_EXECUTABLES = 16, MOST_STATISTICS = 64, MOST_REPRESENTATIONS = 16, MOST_PATH = 4096 };

static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;
static VkInstance instance;
static PFN_vkCreateComputePipelines next_pipelines;
static PFN_vkGetPipelineExecutablePropertiesKHR get_executables;
static PFN_vkGetPipelineExecutableStatisticsKHR get_statistics;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR get_representations;

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *out) {
  VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerInstanceCreateInfo *)link->pNext;
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance_proc(NULL, "vkCreateInstance");
  VkResult result = create(info, allocator, out);
  if (result == VK_SUCCESS) instance = *out;
  return result;
}

// Dawn does not ask for the extension, so it is added here.
static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *allocator, VkDevice *out) {
  VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerDeviceCreateInfo *)link->pNext;
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateDevice create = (PFN_vkCreateDevice)instance_proc(instance, "vkCreateDevice");
  const char **names = malloc(sizeof *names * (info->enabledExtensionCount + 1));
  if (!names) return VK_ERROR_OUT_OF_HOST_MEMORY;
  memcpy(names, info->ppEnabledExtensionNames, sizeof *names * info->enabledExtensionCount);
  names[info->enabledExtensionCount] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE
  };
  VkDeviceCreateInfo with = *info;
  with.pNext = &feature;
  with.enabledExtensionCount++;
  with.ppEnabledExtensionNames = names;
  VkResult result = create(physical, &with, allocator, out);
  free(names);
  if (result != VK_SUCCESS) {
    fprintf(stderr, "statistics layer: the driver refused VK_KHR_pipeline_executable_properties (%d)\n", result);
    return result;
  }
  next_pipelines = (PFN_vkCreateComputePipelines)next_device_proc(*out, "vkCreateComputePipelines");
  get_executables = (PFN_vkGetPipelineExecutablePropertiesKHR)next_device_proc(*out, "vkGetPipelineExecutablePropertiesKHR");
  get_statistics = (PFN_vkGetPipelineExecutableStatisticsKHR)next_device_proc(*out, "vkGetPipelineExecutableStatisticsKHR");
  get_representations = (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)next_device_proc(*out, "vkGetPipelineExecutableInternalRepresentationsKHR");
  return result;
}

static const char *folder(void) { return getenv("STATISTICS_FOLDER"); }
static const char *tag(void) {
  const char *text = getenv("STATISTICS_TAG");
  return text && *text ? text : "pipeline";
}

static void write_statistics(FILE *out, VkDevice device, const VkPipelineExecutableInfoKHR *executable) {
  VkPipelineExecutableStatisticKHR found[MOST_STATISTICS];
  uint32_t count = MOST_STATISTICS;
  for (int i = 0; i < MOST_STATISTICS; i++) found[i] = (VkPipelineExecutableStatisticKHR){ VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR };
  get_statistics(device, executable, &count, found);
  for (uint32_t i = 0; i < count; i++) {
    fprintf(out, "%s\t", found[i].name);
    switch (found[i].format) {
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: fprintf(out, "%u\n", found[i].value.b32); break;
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: fprintf(out, "%" PRId64 "\n", found[i].value.i64); break;
      case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: fprintf(out, "%" PRIu64 "\n", found[i].value.u64); break;
      default: fprintf(out, "%g\n", found[i].value.f64);
    }
  }
}

static void write_representations(VkDevice device, const VkPipelineExecutableInfoKHR *executable) {
  uint32_t count = 0;
  get_representations(device, executable, &count, NULL);
  if (count > MOST_REPRESENTATIONS) count = MOST_REPRESENTATIONS;
  VkPipelineExecutableInternalRepresentationKHR found[MOST_REPRESENTATIONS];
  for (uint32_t i = 0; i < count; i++) found[i] = (VkPipelineExecutableInternalRepresentationKHR){ VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR };
  get_representations(device, executable, &count, found); // sizes; the next call fills what they ask for
  for (uint32_t i = 0; i < count; i++) found[i].pData = calloc(found[i].dataSize + 1, 1);
  get_representations(device, executable, &count, found);
  for (uint32_t i = 0; i < count; i++) {
    char path[MOST_PATH];
    snprintf(path, sizeof path, "%s/%s.%u.%u.ir", folder(), tag(), executable->executableIndex, i);
    FILE *out = fopen(path, "w");
    // the size counts the closing zero of a text
    if (out) fprintf(out, "# %s\n%s", found[i].name, (const char *)found[i].pData), fclose(out);
    free(found[i].pData);
  }
}

static void report(VkDevice device, VkPipeline pipeline) {
  char path[MOST_PATH];
  snprintf(path, sizeof path, "%s/%s.stats", folder(), tag());
  FILE *out = fopen(path, "w");
  if (!out) return;
  VkPipelineInfoKHR info = { VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline };
  VkPipelineExecutablePropertiesKHR found[MOST_EXECUTABLES];
  uint32_t count = MOST_EXECUTABLES;
  for (int i = 0; i < MOST_EXECUTABLES; i++) found[i] = (VkPipelineExecutablePropertiesKHR){ VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR };
  get_executables(device, &info, &count, found);
  for (uint32_t i = 0; i < count; i++) {
    VkPipelineExecutableInfoKHR executable = { VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, i };
    fprintf(out, "executable\t%s\nsubgroup\t%u\n", found[i].name, found[i].subgroupSize);
    write_statistics(out, device, &executable);
    write_representations(device, &executable);
  }
  fclose(out);
}

// What a driver prints as it compiles (AGX_MESA_DEBUG=shaders) goes into the pipeline's own file.
struct printed { int out, err; };
static struct printed redirect(void) {
  struct printed was = { -1, -1 };
  char path[MOST_PATH];
  snprintf(path, sizeof path, "%s/%s.log", folder(), tag());
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return was;
  fflush(NULL);
  was = (struct printed){ dup(STDOUT_FILENO), dup(STDERR_FILENO) };
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  close(file);
  return was;
}
static void restore(struct printed was) {
  fflush(NULL);
  if (was.out >= 0) dup2(was.out, STDOUT_FILENO), close(was.out);
  if (was.err >= 0) dup2(was.err, STDERR_FILENO), close(was.err);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *allocator, VkPipeline *out) {
  if (!folder() || !get_executables) return next_pipelines(device, cache, count, infos, allocator, out);
  VkComputePipelineCreateInfo *with = malloc(sizeof *with * count);
  if (!with) return VK_ERROR_OUT_OF_HOST_MEMORY;
  memcpy(with, infos, sizeof *with * count);
  for (uint32_t i = 0; i < count; i++)
    with[i].flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  struct printed was = redirect();
  VkResult result = next_pipelines(device, VK_NULL_HANDLE, count, with, allocator, out); // no cache: it would hand out what was compiled without them
  restore(was);
  free(with);
  if (result == VK_SUCCESS)
    for (uint32_t i = 0; i < count; i++) report(device, out[i]);
  return result;
}

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL statistics_GetDeviceProcAddr(VkDevice device, const char *name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)statistics_GetDeviceProcAddr;
  if (!strcmp(name, "vkCreateComputePipelines")) return (PFN_vkVoidFunction)create_pipelines;
  return next_device_proc ? next_device_proc(device, name) : NULL;
}
EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL statistics_GetInstanceProcAddr(VkInstance of, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)statistics_GetInstanceProcAddr;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)statistics_GetDeviceProcAddr;
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
  return next_instance_proc ? next_instance_proc(of, name) : NULL;
}

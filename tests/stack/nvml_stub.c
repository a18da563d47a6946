/* A stand-in for NVIDIA's management library with one made-up GPU, so that the real pynvml and the
 * real GPU panels run on a machine without one. Build: cc -shared -fPIC -o libnvidia-ml.so.1 */
#include <stdio.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef void *device_t;

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "stub"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device) {
    static int gpu;
    *device = &gpu;
    return index == 0 ? 0 : 2; /* NVML_ERROR_INVALID_ARGUMENT */
}
int nvmlDeviceGetUUID(device_t device, char *text, unsigned int size) {
    (void)device;
    snprintf(text, size, "GPU-00000000-0000-0000-0000-000000000000");
    return 0;
}
int nvmlDeviceGetName(device_t device, char *text, unsigned int size) {
    (void)device;
    snprintf(text, size, "Stub GPU");
    return 0;
}
int nvmlDeviceGetMemoryInfo(device_t device, memory_t *memory) {
    (void)device;
    memory->total = 16ULL << 30;
    memory->used = 6ULL << 30;
    memory->free = memory->total - memory->used;
    return 0;
}
int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *rates) {
    (void)device;
    rates->gpu = 42;
    rates->memory = 7;
    return 0;
}
int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned int *celsius) {
    (void)device;
    (void)sensor;
    *celsius = 55;
    return 0;
}
int nvmlDeviceGetPowerUsage(device_t device, unsigned int *milliwatts) {
    (void)device;
    *milliwatts = 123000;
    return 0;
}

/* A stand-in for libnvidia-ml.so.1: the calls that telemetry/gpu.py makes, answered from a text
 * file that is read anew at each call, so that a test can change what the GPUs do.
 *
 * Lines of "key value": `count`, and for each GPU `0.used`, `0.total`, `0.utilization`,
 * `0.temperature`, `0.power` (mW), `0.name`, `0.uuid`. A line `CALL.fail CODE` or
 * `0.CALL.fail CODE` makes a call fail; `CALL.hang 1` keeps it from returning while that stands
 * there (for at most a minute).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NO_DATA = 8 };

typedef struct { int index; } Gpu;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Utilization;
static Gpu gpus[16];

static int lookup(const char *key, char *value, size_t size) {
    char line[512];
    const char *path = getenv("NVML_STUB_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    int found = 0;
    size_t length = strlen(key);
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static int trouble(const char *call, const char *what, const Gpu *gpu, char *value, size_t size) {
    char key[256];
    snprintf(key, sizeof key, "%s.%s", call, what);
    if (lookup(key, value, size)) return 1;
    if (!gpu) return 0;
    snprintf(key, sizeof key, "%d.%s.%s", gpu->index, call, what);
    return lookup(key, value, size);
}

static int outcome(const char *call, const Gpu *gpu) {
    char value[64];
    for (int i = 0; i < 3000 && trouble(call, "hang", gpu, value, sizeof value); i++) usleep(20000);
    return trouble(call, "fail", gpu, value, sizeof value) ? atoi(value) : SUCCESS;
}

static int text(const Gpu *gpu, const char *field, char *value, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "%d.%s", gpu->index, field);
    return lookup(key, value, size) ? SUCCESS : NO_DATA;
}

static int number(const Gpu *gpu, const char *field, unsigned long long *result) {
    char value[64];
    int code = text(gpu, field, value, sizeof value);
    if (code == SUCCESS) *result = strtoull(value, NULL, 10);
    return code;
}

#define CHECK(call, gpu) \
    do { int code = outcome(call, gpu); if (code != SUCCESS) return code; } while (0)

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    CHECK("nvmlInitWithFlags", NULL);
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    static char message[64];
    snprintf(message, sizeof message, "stub error %d", code);
    return message;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    char value[64];
    CHECK("nvmlDeviceGetCount_v2", NULL);
    *count = lookup("count", value, sizeof value) ? (unsigned int)atoi(value) : 0;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Gpu **gpu) {
    if (index >= sizeof gpus / sizeof *gpus) return INVALID_ARGUMENT;
    gpus[index].index = (int)index;
    *gpu = &gpus[index];
    CHECK("nvmlDeviceGetHandleByIndex_v2", *gpu);
    return SUCCESS;
}

int nvmlDeviceGetName(const Gpu *gpu, char *name, unsigned int size) {
    CHECK("nvmlDeviceGetName", gpu);
    return text(gpu, "name", name, size);
}

int nvmlDeviceGetUUID(const Gpu *gpu, char *uuid, unsigned int size) {
    CHECK("nvmlDeviceGetUUID", gpu);
    return text(gpu, "uuid", uuid, size);
}

int nvmlDeviceGetMemoryInfo(const Gpu *gpu, Memory *out) {
    CHECK("nvmlDeviceGetMemoryInfo", gpu);
    if (number(gpu, "total", &out->total) || number(gpu, "used", &out->used)) return NO_DATA;
    out->free = out->total - out->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(const Gpu *gpu, Utilization *out) {
    unsigned long long percent = 0;
    CHECK("nvmlDeviceGetUtilizationRates", gpu);
    int code = number(gpu, "utilization", &percent);
    out->gpu = (unsigned int)percent;
    out->memory = 0;
    return code;
}

int nvmlDeviceGetTemperature(const Gpu *gpu, int sensor, unsigned int *celsius) {
    unsigned long long value = 0;
    if (sensor != 0) return INVALID_ARGUMENT;
    CHECK("nvmlDeviceGetTemperature", gpu);
    int code = number(gpu, "temperature", &value);
    *celsius = (unsigned int)value;
    return code;
}

int nvmlDeviceGetPowerUsage(const Gpu *gpu, unsigned int *milliwatts) {
    unsigned long long value = 0;
    CHECK("nvmlDeviceGetPowerUsage", gpu);
    int code = number(gpu, "power", &value);
    *milliwatts = (unsigned int)value;
    return code;
}

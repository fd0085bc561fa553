/* Settings from file, environment and flags: which wins, and that mistakes name their source. */
#include "config/model_limits.h"
#include "config/settings.h"

#include "engine/base/error.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { WORDS_MAX = 64 };

/* Splits at spaces. */
static int load(const char *line, struct settings *out, struct error *err)
{
    char copy[512], *words[WORDS_MAX], *save, *word;
    int n = 0;

    snprintf(copy, sizeof(copy), "softdiffd %s", line);
    for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(n < WORDS_MAX);
        words[n++] = word;
    }
    return settings_load(n, words, out, err);
}

static void write_file(char path[64], const char *text)
{
    int fd;

    snprintf(path, 64, "/tmp/softdiff-settings-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_defaults(void **state)
{
    struct settings s;

    assert_int_equal(load("", &s, NULL), 0);
    assert_int_equal(s.action, SETTINGS_SERVE);
    assert_string_equal(s.listen, "127.0.0.1:8080");
    assert_string_equal(s.admin_listen, "127.0.0.1:9090");
    assert_int_equal(s.n_models, 0);
    assert_int_equal(s.request_timeout_ms, 60000);
    assert_string_equal(s.log_level, "info");
    assert_string_equal(s.choices, "");
}

static void test_flags(void **state)
{
    struct settings s;

    assert_int_equal(load("--max-queue 3 --slots=4 --drain-timeout 500ms --idle-timeout=2m "
                          "--drain-delay 5s --response-cache 3MiB "
                          "--model a=/x/a.st --model=b=/x=y/b.st --check",
                          &s, NULL),
                     0);
    assert_int_equal(s.action, SETTINGS_CHECK);
    assert_int_equal(s.max_queue, 3);
    assert_int_equal(s.slots, 4);
    assert_int_equal(s.drain_timeout_ms, 500);
    assert_int_equal(s.drain_delay_ms, 5000);
    assert_int_equal(s.idle_timeout_ms, 120000);
    assert_int_equal(s.response_cache_bytes, 3 << 20);
    assert_int_equal(s.n_models, 2);
    assert_string_equal(s.models[0].name, "a");
    assert_string_equal(s.models[1].name, "b");
    assert_string_equal(s.models[1].path, "/x=y/b.st");
}

static void test_precedence(void **state)
{
    char path[64], line[128];
    struct settings s;

    write_file(path, "{\"slots\": 1, \"max_queue\": 1, \"max_nfe\": 1, "
                     "\"model\": {\"file\": \"/f\", \"file2\": \"/g\"}}");
    setenv("SOFTDIFF_MAX_QUEUE", "2", 1);
    setenv("SOFTDIFF_MAX_NFE", "2", 1);
    setenv("SOFTDIFF_PORT", "tcp://10.0.0.1:80", 1); /* what an orchestrator may set */
    snprintf(line, sizeof(line), "--max-nfe 3 --config %s", path);
    assert_int_equal(load(line, &s, NULL), 0);
    assert_int_equal(s.slots, 1);
    assert_int_equal(s.max_queue, 2);
    assert_int_equal(s.max_nfe, 3);
    assert_int_equal(s.n_models, 2);
    assert_string_equal(s.models[1].name, "file2");

    /* A list replaces the weaker source's. */
    setenv("SOFTDIFF_MODEL", "env=/e,env2=/e2", 1);
    setenv("SOFTDIFF_CONFIG", path, 1);
    assert_int_equal(load("", &s, NULL), 0);
    assert_int_equal(s.n_models, 2);
    assert_string_equal(s.models[0].name, "env");
    assert_int_equal(load("--model flag=/x", &s, NULL), 0);
    assert_int_equal(s.n_models, 1);
    assert_string_equal(s.models[0].name, "flag");
    setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
    assert_int_equal(load("", &s, NULL), 0);
    assert_string_equal(s.state_dir, "/var/lib/a");
    setenv("SOFTDIFF_STATE_DIR", "/c", 1);
    assert_int_equal(load("", &s, NULL), 0);
    assert_string_equal(s.state_dir, "/c");
    assert_int_equal(load("--job-store postgresql://u@[::1]:5432/n?host=%2Frun%2Fa@b", &s, NULL),
                     0);
    assert_string_equal(s.job_store, "postgresql://u@[::1]:5432/n?host=%2Frun%2Fa@b");
    unsetenv("STATE_DIRECTORY");
    unsetenv("SOFTDIFF_STATE_DIR");
    unsetenv("SOFTDIFF_MAX_QUEUE");
    unsetenv("SOFTDIFF_MAX_NFE");
    unsetenv("SOFTDIFF_MODEL");
    unsetenv("SOFTDIFF_CONFIG");
    unsetenv("SOFTDIFF_PORT");
    unlink(path);
}

/* One text says them all, wherever it stands. */
static void test_devices(void **state)
{
    char path[64], line[128];
    struct settings s;

    assert_int_equal(load("", &s, NULL), 0);
    assert_int_equal(s.n_devices, 1);
    assert_string_equal(s.devices[0], "auto");
    write_file(path, "{\"device\": \"cuda:0,cuda:3\"}");
    snprintf(line, sizeof(line), "--config %s", path);
    assert_int_equal(load(line, &s, NULL), 0);
    assert_int_equal(s.n_devices, 2);
    assert_string_equal(s.devices[1], "cuda:3");
    setenv("SOFTDIFF_DEVICE", "cpu,cpu,cpu", 1);
    assert_int_equal(load(line, &s, NULL), 0);
    assert_int_equal(s.n_devices, 3);
    assert_int_equal(load("--device cuda:1", &s, NULL), 0);
    assert_int_equal(s.n_devices, 1);
    assert_string_equal(s.devices[0], "cuda:1");
    unsetenv("SOFTDIFF_DEVICE");
    unlink(path);
}

static void test_bad_flags(void **state)
{
    static const struct {
        const char *line, *text; /* text: what the message contains */
    } rows[] = {
        {"--bogus 1", "--bogus"},
        {"--cors-origin a.example", "\"a.example\" is not an origin"},
        {"--cors-origin https://a.example/", "is not an origin"},
        {"--cors-origin https://a,*", "\"*\" is not an origin"},
        {"--job-store mysql://host/name", "begins with postgresql://"},
        {"--job-store postgresql://user:secret@host/name", "PGPASSFILE"},
        {"--job-store postgres://host/name?password=secret", "PGPASSFILE"},
        {"--response-cache 1MB", "\"1MB\" is not a size"},
        {"--response-cache 2GiB", "out of range"},
        {"--response-cache -1", "\"-1\" is not a size"},
        {"serve", "\"serve\""},
        {"-h", "\"-h\""},
        {"--slots", "--slots needs a value"},
        {"--slots 0", "--slots: 0 is out of range, expected 1 to 4096"},
        {"--slots 4097", "--slots"},
        {"--slots x", "--slots: \"x\" is not an integer"},
        {"--slots 1.5", "--slots"},
        {"--slots -1", "--slots"},
        {"--slots 99999999999999999999", "--slots"},
        {"--drain-timeout 25", "is not a duration"},
        {"--drain-timeout 25h", "is not a duration"},
        {"--request-timeout 0s", "out of range"},
        {"--device cuda:0,", "\"\" is not the name of a device"},
        {"--device cpu/1", "--device: \"cpu/1\" is not the name"},
        {"--device a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "more than 16 devices"},
        {"--precision fp8", "\"fp8\" is not one of auto|fp32|bf16|fp16"},
        {"--precision fp", "is not one of"},
        {"--log-level infos", "is not one of"},
        {"--listen 8080", "--listen: \"8080\" is not an address"},
        {"--model faces", "--model: \"faces\" is not NAME=PATH"},
        {"--model =x", "not a model name"},
        {"--model a/b=x", "not a model name"},
        {"--model .a=x", "not a model name"},
        {"--model a=", "needs a path"},
        {"--model a=x --model a=y", "\"a\" is given twice"},
        {"--model-limits faces", "\"faces\" is not NAME:max-nfe=N"},
        {"--model-limits :max-nfe=3", "not a model name"},
        {"--model-limits a:max-nfe=3:", "\"\" is not a limit"},
        {"--model-limits a:max-nfe=", "is not a limit"},
        {"--model-limits a:max-nfe=x", "is not a limit"},
        {"--model-limits a:max-nfe=-1", "is not a limit"},
        {"--model-limits a:max-nf=1", "\"max-nf=1\" is not a limit"},
        {"--model-limits a:max-nfe=5:max-nfe=5", "max-nfe of model \"a\" is there twice"},
        {"--model-limits a:max-nfe=0", "out of range, expected 1 to 10000"},
        {"--model-limits a:max-queue=99999", "out of range, expected 0 to 65536"},
        {"--model-limits a:max-images=65", "out of range, expected 1 to 64"},
        {"--model-limits a:max-nfe=1,a:max-nfe=2", "\"a\" has limits twice"},
        {"--model-limits a:max-nfe=1001", "\"a\" are beyond"},
        {"--max-images 4 --model-limits a:max-images=5", "\"a\" are beyond"},
        {"--check=1", "--check takes no value"},
        {"--config /nonexistent.json", "could not read config \"/nonexistent.json\""},
    };
    struct settings s;
    struct error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# flags %s\n", rows[i].line);
        assert_true(load(rows[i].line, &s, &err) < 0);
        if (!strstr(err.text, rows[i].text))
            print_message("# got: %s\n", err.text);
        assert_non_null(strstr(err.text, rows[i].text));
    }
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *file, *text;
    } rows[] = {
        {"{", "line 1"},
        {"[]", "not a JSON object"},
        {"{\"max-queue\": 1}", "\"max-queue\" is not a setting"},
        {"{\"slots\": 1, \"slots\": 2}", "duplicate"},
        {"{\"slots\": \"1\"}", "\"slots\": must be an integer"},
        {"{\"slots\": 0}", "\"slots\": 0 is out of range"},
        {"{\"drain_timeout\": 25}", "\"drain_timeout\": must be a string"},
        {"{\"model\": \"a=b\"}", "\"model\": must be an object"},
        {"{\"model\": {\"a\": 1}}", "the path of model \"a\""},
        {"{\"model_limits\": 1}", "must be an object"},
        {"{\"model_limits\": {\"a\": 1}}", "limits of model \"a\" must be an object"},
        {"{\"model_limits\": {\"a\": {\"max-nfe\": 1}}}", "\"max-nfe\" of model \"a\""},
        {"{\"model_limits\": {\"a\": {\"max_nfe\": \"1\"}}}", "\"max_nfe\" of model \"a\""},
        {"{\"model_limits\": {\"a\": {\"max_nfe\": 0}}}", "out of range"},
        {"{\"check\": true}", "\"check\" is not a setting"},
    };
    char path[64], line[128];
    struct settings s;
    struct error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# file %s\n", rows[i].file);
        write_file(path, rows[i].file);
        snprintf(line, sizeof(line), "--config %s", path);
        assert_int_equal(load(line, &s, &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i].text));
        assert_non_null(strstr(err.text, path));
        unlink(path);
    }
}

static void test_bad_environment(void **state)
{
    struct settings s;
    struct error err;

    setenv("SOFTDIFF_SLOTS", "many", 1);
    assert_int_equal(load("", &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "SOFTDIFF_SLOTS: "));
    /* Help is for those whose settings are wrong. */
    assert_int_equal(load("--help", &s, &err), 0);
    assert_int_equal(s.action, SETTINGS_HELP);
    setenv("SOFTDIFF_SLOTS", "", 1); /* empty: absent */
    assert_int_equal(load("", &s, &err), 0);
    unsetenv("SOFTDIFF_SLOTS");
}

/* What a model has for itself comes before what holds for all; a stronger source replaces all of it. */
static void test_model_limits(void **state)
{
    struct settings s, again;
    struct settings_limits limits;
    char path[64], line[128];
    char *text;
    size_t size;
    FILE *file;

    setenv("SOFTDIFF_MODEL_LIMITS", "c:max-nfe=3,d:max-nfe=4", 1);
    assert_int_equal(load("--max-queue 9 --model-limits a:max-nfe=5:max-images=2 "
                          "--model-limits b:max-queue=0",
                          &s, NULL),
                     0);
    limits = model_limits_of(&s, "a");
    assert_string_equal(limits.model, "a");
    assert_true(limits.max_nfe == 5 && limits.max_images == 2 && limits.max_queue == 9);
    limits = model_limits_of(&s, "b");
    assert_true(limits.max_nfe == 1000 && limits.max_images == 64 && limits.max_queue == 0);
    limits = model_limits_of(&s, "c");
    assert_true(limits.max_nfe == 1000 && limits.max_images == 64 && limits.max_queue == 9);

    file = open_memstream(&text, &size);
    assert_int_equal(settings_print(&s, file, NULL), 0);
    fclose(file);
    write_file(path, text);
    snprintf(line, sizeof(line), "--config %s", path);
    assert_int_equal(load(line, &again, NULL), 0); /* the environment is stronger */
    assert_int_equal(model_limits_of(&again, "c").max_nfe, 3);
    assert_int_equal(model_limits_of(&again, "a").max_nfe, 1000);
    unsetenv("SOFTDIFF_MODEL_LIMITS");
    assert_int_equal(load(line, &again, NULL), 0);
    assert_int_equal(again.n_limits, 2);
    assert_memory_equal(again.limits, s.limits, sizeof(s.limits));
    unlink(path);
    free(text);
}

/* What is printed reads back as the same settings. */
static void test_print_round_trip(void **state)
{
    struct settings first, second;
    char path[64], line[128];
    char *text;
    size_t size;
    FILE *file;

    assert_int_equal(load("--listen [::1]:1 --slots 7 --drain-timeout 1500ms --precision bf16 "
                          "--choices /x/y.choices --response-cache 1536KiB --model z=/z --model "
                          "a=/a",
                          &first, NULL),
                     0);
    file = open_memstream(&text, &size);
    assert_int_equal(settings_print(&first, file, NULL), 0);
    fclose(file);
    write_file(path, text);
    snprintf(line, sizeof(line), "--config %s", path);
    assert_int_equal(load(line, &second, NULL), 0);
    assert_string_equal(second.listen, "[::1]:1");
    assert_int_equal(second.slots, 7);
    assert_int_equal(second.drain_timeout_ms, 1500);
    assert_string_equal(second.precision, "bf16");
    assert_string_equal(second.choices, "/x/y.choices");
    assert_int_equal(second.response_cache_bytes, 1536 << 10);
    assert_int_equal(second.n_models, 2);
    assert_string_equal(second.models[0].name, "z"); /* the default stays the first */
    assert_string_equal(second.models[1].path, "/a");
    unlink(path);
    free(text);
}

/* Paths of a file are relative to it, those of flags to the working folder; printed ones mean the same
 * in any. */
static void test_paths(void **state)
{
    char path[64], line[160], folder[512], want[600];
    json_t *root, *models;
    struct error err;
    struct settings s;
    char *text;
    size_t size;
    FILE *file;

    write_file(path, "{\"model\": {\"a\": \"a.st\", \"b\": \"../b/b.st\", \"c\": \"/c.st\"}, "
                     "\"choices\": \"x.choices\"}");
    snprintf(line, sizeof(line), "--config %s", path);
    assert_int_equal(load(line, &s, NULL), 0);
    assert_string_equal(s.models[0].path, "/tmp/a.st");
    assert_string_equal(s.models[1].path, "/tmp/../b/b.st");
    assert_string_equal(s.models[2].path, "/c.st");
    assert_string_equal(s.choices, "/tmp/x.choices");
    snprintf(line, sizeof(line), "--config %s --model d=d.st --choices y.choices", path);
    assert_int_equal(load(line, &s, NULL), 0);
    assert_int_equal(s.n_models, 1);
    assert_string_equal(s.models[0].path, "d.st");
    assert_string_equal(s.choices, "y.choices");

    file = open_memstream(&text, &size);
    assert_int_equal(settings_print(&s, file, NULL), 0);
    fclose(file);
    root = json_loads(text, 0, NULL);
    models = json_object_get(root, "model");
    assert_non_null(getcwd(folder, sizeof(folder)));
    snprintf(want, sizeof(want), "%s/d.st", folder);
    assert_string_equal(json_string_value(json_object_get(models, "d")), want);
    snprintf(want, sizeof(want), "%s/y.choices", folder);
    assert_string_equal(json_string_value(json_object_get(root, "choices")), want);
    json_decref(root);
    free(text);
    unlink(path);

    /* None is cut off. */
    text = malloc(2000);
    snprintf(text, 2000, "{\"model\": {\"a\": \"%01022d\"}}", 0);
    write_file(path, text);
    snprintf(line, sizeof(line), "--config %s", path);
    assert_int_equal(load(line, &s, &err), -EINVAL);
    free(text);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),         cmocka_unit_test(test_flags),
        cmocka_unit_test(test_precedence),       cmocka_unit_test(test_devices),
        cmocka_unit_test(test_bad_flags),        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_bad_environment),  cmocka_unit_test(test_model_limits),
        cmocka_unit_test(test_print_round_trip), cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

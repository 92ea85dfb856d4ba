// objects.cpp - desk.h in C++: static objects are constructed before the first call, once.
#include <desk.h>

namespace {

int made = 0;

struct Counter {
    int32_t value;
    explicit Counter(int32_t first) : value(first) {
        made++;
        desk_log_text(DESK_INFO, "made");
    }
};

Counter first(40), second(first.value + 1);

} // namespace

DESK_EXPORT("total") int32_t total() { return first.value + second.value++ + made; }

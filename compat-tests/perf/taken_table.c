/* A kernel that says yes to everything about IPVS: loaded into keepalived (LD_PRELOAD), it can be measured on a
 * machine whose kernel has none.  libipvs falls back on these two calls when there is no netlink family.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* IP_VS_BASE_CTL of linux/ip_vs.h */
#define FIRST (64 + 1024 + 64)
int getsockopt(int s, int level, int name, void *value, socklen_t *length)
{
    static int (*real)(int, int, int, void *, socklen_t *);
    if (level == IPPROTO_IP && name >= FIRST && name < FIRST + 48) { memset(value, 0, *length); return 0; }
    if (!real) real = dlsym(RTLD_NEXT, "getsockopt");
    return real(s, level, name, value, length);
}
int setsockopt(int s, int level, int name, const void *value, socklen_t length)
{
    static int (*real)(int, int, int, const void *, socklen_t);
    if (level == IPPROTO_IP && name >= FIRST && name < FIRST + 48) return 0;
    if (!real) real = dlsym(RTLD_NEXT, "setsockopt");
    return real(s, level, name, value, length);
}

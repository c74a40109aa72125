/* A load generator that checks every byte it is sent.
 *
 *   load -p PORT -b FILE [-P PATH] [-e EVENTS] [-c CONNECTIONS] [-s SECONDS] [-n REQUESTS] [-r RATE]
 *        [-H 'Name: value']... [-K FILE] [-w WORDS]...
 *
 * Sends `POST /v1/chat/completions`, or PATH, with the body of FILE over keep-alive connections, until SECONDS have
 * passed or REQUESTS are sent, then waits for the answers on the way. Without -e a whole answer is expected, with it a
 * stream of EVENTS events. Without -r each connection sends its next request as soon as it has its answer (closed
 * loop); with it requests are due RATE times a second, and a latency counts from the moment at which its request was
 * due. -K names a file of header lines, all of one length, of which each request gets the next.
 *
 * An answer must be the upstream's to the byte. With -w, for gateways that write answers anew and for other APIs, it
 * must hold the answer's text to the byte, or every event's text once and in order, and after these all the WORDS.
 *
 * Prints one line of JSON. requests: answered as they should be; errors: connections lost in a request, broken framing,
 * or no answer within GRACE_US of the end; wrong_status, wrong_type, wrong_body: as they say, the type being that of
 * whole answers or of streams; delay_us: from the time that the upstream wrote into an event to the time it was read
 * here; cpu_us: what this program used itself.
 */
#include "wire.h"

#define GRACE_US 8000000L
#define LONGEST_US 10000000
#define MAX_BODY (1 << 20)
#define MAX_HEAD 8192
#define MAX_WORDS 8

enum state { IDLE, HEAD, FIXED, SIZE, DATA, GAP, END, WHOLE };

struct client {
    int fd;
    enum state state;
    char *out;
    size_t out_at, left;
    long serial, since;
    int status, right_type, ended;
    char line[MAX_HEAD]; /* the head, then the line with a chunk's size */
    size_t line_length;
    char *body;
    size_t size, looked, spoken; /* looked: searched for events; spoken: the end of the last of them */
    long events, good_events;
    struct client *next; /* among the idle ones */
};

/* How often each microsecond was measured; the last entry stands for all that is longer. */
struct times { long counts[LONGEST_US + 1], all; };

static struct times latency, delay;
static struct { long requests, errors, wrong_status, wrong_type, wrong_body, events; } counts;
static long serials, flying, expected_events;
static struct sockaddr_in gateway;
static struct waiter waiter;
static struct client *idle;
static struct body request;
static size_t head_size;
static const char *words[MAX_WORDS];
static int word_count;
static struct { char *lines; size_t size, at; long count; } keys;

static void note(struct times *times, long us)
{
    times->counts[us < 0 ? 0 : us > LONGEST_US ? LONGEST_US : us]++;
    times->all++;
}

static long percentile(const struct times *times, double share)
{
    long seen = 0;
    for (long us = 0; us <= LONGEST_US; us++)
        if ((seen += times->counts[us]) > share * (double)times->all)
            return us;
    return 0;
}

static void connect_client(struct client *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (void *)&gateway, sizeof gateway))
        fail("connect: %s", strerror(errno));
    watch_socket(&waiter, c->fd, c);
}

static void rest(struct client *c)
{
    c->state = IDLE;
    c->next = idle;
    idle = c;
}

static void finish(struct client *c)
{
    flying--;
    rest(c);
}

static void lose(struct client *c)
{
    close(c->fd);
    connect_client(c);
    if (c->state != IDLE) {
        counts.errors++;
        finish(c);
    }
}

/* 0, or -1 where the connection is gone. */
static int push(struct client *c)
{
    size_t size = head_size + request.size;
    while (c->out_at < size) {
        ssize_t n = send(c->fd, c->out + c->out_at, size - c->out_at, MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->out_at += (size_t)n;
    }
    return 0;
}

static void ask(struct client *c, long due)
{
    c->serial = ++serials;
    c->since = due;
    put_number(c->out + head_size + request.serial_at, c->serial);
    if (keys.count)
        memcpy(c->out + keys.at, keys.lines + (size_t)(c->serial % keys.count) * (keys.size + 1), keys.size);
    c->state = HEAD;
    c->out_at = c->line_length = c->size = c->looked = c->spoken = 0;
    c->events = c->good_events = c->ended = 0;
    flying++;
    if (push(c) < 0)
        lose(c);
}

/* The events whose texts are here by now, whatever is around them. */
static void look_for_events(struct client *c, long now)
{
    static const char end[] = " tokens\"";
    const size_t before = 2 * DIGITS + 1;
    const char *found;
    while ((found = memmem(c->body + c->looked, c->size - c->looked, end, sizeof end - 1))) {
        size_t at = (size_t)(found - c->body);
        if (at >= c->looked + before && get_number(found - before) == event_number(c->serial, c->events)) {
            c->good_events++;
            note(&delay, now - get_number(found - DIGITS));
        }
        c->events++;
        c->looked = c->spoken = at + sizeof end - 1;
    }
    if (c->size > c->looked + sizeof end - 1 + before)
        c->looked = c->size - (sizeof end - 1) - before;
}

/* The events that are whole by now. */
static void check_events(struct client *c, long now)
{
    char should[EVENT];
    if (word_count) {
        if (expected_events)
            look_for_events(c, now);
        return;
    }
    for (; c->events < expected_events && c->size >= (size_t)(c->events + 1) * EVENT; c->events++) {
        const char *is = c->body + c->events * EVENT;
        long written = get_number(is + EVENT_TIME_AT);
        render_event(should, c->serial, c->events, written < 0 ? 0 : written);
        if (memcmp(is, should, EVENT))
            continue;
        c->good_events++;
        note(&delay, now - written);
    }
}

/* Text and words; words are looked for behind the last event, where there are events. */
static int says_it(const struct client *c)
{
    char should[ANSWER];
    for (int i = 0; i < word_count; i++)
        if (!memmem(c->body + c->spoken, c->size - c->spoken, words[i], strlen(words[i])))
            return 0;
    if (expected_events)
        return c->events == expected_events && c->good_events == expected_events;
    render_answer(should, c->serial);
    return memmem(c->body, c->size, should + answer_text_at, answer_text_size) != NULL;
}

static int is_right(const struct client *c)
{
    char should[ANSWER > ENDING ? ANSWER : ENDING];
    if (word_count)
        return says_it(c);
    size_t before = (size_t)expected_events * EVENT, size = ANSWER, sizes[3];
    if (expected_events)
        size = render_ending(should, c->serial, sizes);
    else
        render_answer(should, c->serial);
    return c->good_events == expected_events && c->size == before + size && !memcmp(c->body + before, should, size);
}

static const char *content_type(void)
{
    return expected_events ? "text/event-stream" : "application/json";
}

static void judge(struct client *c, long now)
{
    int early = c->out_at < head_size + request.size;
    if (c->status != 200 || early) {
        if (!counts.wrong_status++)
            fprintf(stderr, "status %d: %.*s\n", c->status, (int)(c->size < 300 ? c->size : 300), c->body);
    } else if (!c->right_type) {
        if (!counts.wrong_type++)
            fprintf(stderr, "content-type is not %s\n", content_type());
    } else if (!is_right(c)) {
        if (!counts.wrong_body++)
            fprintf(stderr, "wrong body: %.*s\n", (int)(c->size < 600 ? c->size : 600), c->body);
    } else {
        counts.requests++;
        counts.events += c->good_events;
        note(&latency, now - c->since);
    }
    finish(c);
}

/* A line's worth of bytes, up to `end`, into `line`. How many it took, -1 where the line is too long; `ended` says
 * whether `end` has come. */
static ssize_t take_line(struct client *c, const char *bytes, size_t size, const char *end)
{
    size_t old = c->line_length, length = strlen(end), from = old < length ? 0 : old - length + 1;
    size_t room = MAX_HEAD - 1 - old, taken = size < room ? size : room;
    memcpy(c->line + old, bytes, taken);
    char *found = memmem(c->line + from, old + taken - from, end, length);
    c->ended = found != NULL;
    if (!found) {
        c->line_length = old + taken;
        return taken < size ? -1 : (ssize_t)taken;
    }
    *found = 0;
    c->line_length = 0;
    return (ssize_t)((size_t)(found - c->line) + length - old);
}

/* 0, or -1 where the answer ends with the connection: who then knows whether it is whole? */
static int read_head(struct client *c)
{
    const char *length = header(c->line, "content-length");
    c->status = atoi(c->line + strcspn(c->line, " "));
    c->right_type = is(header(c->line, "content-type"), content_type());
    c->left = length ? strtoul(length, NULL, 10) : 0;
    c->state = !length ? SIZE : c->left ? FIXED : WHOLE;
    return length || is(header(c->line, "transfer-encoding"), "chunked") ? 0 : -1;
}

/* What the line says that just ended: a chunk's size, or nothing. */
static int read_line(struct client *c)
{
    if (c->state == SIZE) {
        c->left = strtoul(c->line, NULL, 16);
        c->state = c->left ? DATA : END;
        return 0;
    }
    c->state = c->state == GAP ? SIZE : WHOLE;
    return *c->line ? -1 : 0;
}

static ssize_t take_body(struct client *c, const char *bytes, size_t size)
{
    size_t taken = size < c->left ? size : c->left;
    if (c->size + taken > MAX_BODY)
        return -1;
    memcpy(c->body + c->size, bytes, taken);
    c->size += taken;
    c->left -= taken;
    return (ssize_t)taken;
}

/* One step of reading an answer. How many bytes it took, or -1 where they are not HTTP. */
static ssize_t step(struct client *c, const char *bytes, size_t size)
{
    ssize_t taken;
    if (c->state == IDLE)
        return -1;
    if (c->state == FIXED || c->state == DATA) {
        taken = take_body(c, bytes, size);
        if (!c->left)
            c->state = c->state == DATA ? GAP : WHOLE;
        return taken;
    }
    taken = take_line(c, bytes, size, c->state == HEAD ? "\r\n\r\n" : "\r\n");
    if (taken >= 0 && c->ended && (c->state == HEAD ? read_head(c) : read_line(c)) < 0)
        return -1;
    return taken;
}

/* 0, or -1 where the connection cannot go on. */
static int digest(struct client *c, const char *bytes, size_t size)
{
    long now = now_us();
    while (size) {
        ssize_t taken = step(c, bytes, size);
        if (taken < 0) {
            counts.errors += c->state == IDLE; /* bytes that nobody asked for */
            return -1;
        }
        bytes += taken;
        size -= (size_t)taken;
        if (c->state == WHOLE) {
            check_events(c, now);
            judge(c, now);
        }
    }
    if (c->state != IDLE)
        check_events(c, now);
    return 0;
}

static void serve(struct client *c)
{
    static char bytes[1 << 18];
    ssize_t n;
    if (c->state != IDLE && push(c) < 0) {
        lose(c);
        return;
    }
    do {
        n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN) || (n > 0 && digest(c, bytes, (size_t)n) < 0)) {
            lose(c);
            return;
        }
    } while (n == sizeof bytes);
}

static void report(double seconds)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    long cpu = (own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1000000L + own.ru_utime.tv_usec + own.ru_stime.tv_usec;
    printf("{\"requests\":%ld,\"errors\":%ld,\"wrong_status\":%ld,\"wrong_type\":%ld,\"wrong_body\":%ld,\"events\":%ld,"
           "\"seconds\":%.3f,\"latency_us\":{\"p50\":%ld,\"p99\":%ld},"
           "\"delay_us\":{\"p50\":%ld,\"p99\":%ld},\"cpu_us\":%ld}\n",
           counts.requests, counts.errors, counts.wrong_status, counts.wrong_type, counts.wrong_body, counts.events,
           seconds, percentile(&latency, .5), percentile(&latency, .99), percentile(&delay, .5),
           percentile(&delay, .99), cpu);
}

/* Sends what is due. The moment at which the next request is. */
static long ask_all(long start, long end, long requests, double rate)
{
    for (;;) {
        long now = now_us(), due = rate > 0 ? start + (long)((double)serials * 1e6 / rate) : now;
        if (!idle || now >= end || serials >= requests || due > now)
            return idle && due < end ? due : end;
        struct client *c = idle;
        idle = c->next;
        ask(c, due);
    }
}

static void run(double seconds, long requests, double rate)
{
    struct epoll_event events[256];
    long start = now_us(), end = start + (long)(seconds * 1e6);
    for (;;) {
        long moment = ask_all(start, end, requests, rate), now = now_us();
        int over = now >= end || serials >= requests;
        if ((over && !flying) || now >= end + GRACE_US)
            break;
        int n = wait_until(&waiter, over ? end + GRACE_US : moment, events, 256);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
    }
    counts.errors += flying;
    report((double)(now_us() - start) / 1e6);
}

static void read_keys(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    keys.lines = calloc(1, size + 1);
    if (fread(keys.lines, 1, size, file) != size)
        fail("%s: cannot be read", path);
    fclose(file);
    keys.size = strcspn(keys.lines, "\n");
    keys.count = (long)(size / (keys.size + 1));
    for (long i = 0; i < keys.count; i++)
        if (strcspn(keys.lines + (size_t)i * (keys.size + 1), "\n") != keys.size)
            fail("%s: lines of several lengths", path);
}

static void prepare(const char *path, const char *headers, long connections)
{
    char *message = malloc(MAX_HEAD + request.size);
    head_size = (size_t)snprintf(message, MAX_HEAD,
                                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                 "Content-Type: application/json\r\nContent-Length: %zu\r\n%s%.*s%s\r\n",
                                 path, ntohs(gateway.sin_port), request.size, headers, (int)keys.size,
                                 keys.count ? keys.lines : "", keys.count ? "\r\n" : "");
    if (head_size >= MAX_HEAD)
        fail("headers too long");
    keys.at = head_size - keys.size - 4;
    memcpy(message + head_size, request.text, request.size);
    waiter = new_waiter();
    for (long i = 0; i < connections; i++) {
        struct client *c = calloc(1, sizeof *c);
        c->out = malloc(head_size + request.size);
        memcpy(c->out, message, head_size + request.size);
        c->body = malloc(MAX_BODY);
        connect_client(c);
        rest(c);
    }
    free(message);
}

int main(int count, char **arguments)
{
    long connections = 1, requests = LONG_MAX;
    double seconds = 3600, rate = 0;
    char headers[MAX_HEAD / 2] = "";
    const char *path = "/v1/chat/completions";
    int option;
    die_with_parent();
    gateway = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    while ((option = getopt(count, arguments, "p:b:P:e:c:s:n:r:H:K:w:")) != -1) {
        switch (option) {
        case 'p': gateway.sin_port = htons((unsigned short)atoi(optarg)); break;
        case 'b': request = read_body(optarg); break;
        case 'P': path = optarg; break;
        case 'K': read_keys(optarg); break;
        case 'e': expected_events = atol(optarg); break;
        case 'c': connections = atol(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'n': requests = atol(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'H':
            snprintf(headers + strlen(headers), sizeof headers - strlen(headers), "%s\r\n", optarg);
            break;
        case 'w':
            if (word_count == MAX_WORDS)
                fail("at most %d words", MAX_WORDS);
            words[word_count++] = optarg;
            break;
        default: return 2;
        }
    }
    if (!gateway.sin_port || !request.size)
        fail("usage: load -p PORT -b FILE [-P PATH] [-e EVENTS] [-c CONNECTIONS] [-s SECONDS] [-n REQUESTS] [-r RATE] "
             "[-H LINE] [-K FILE] [-w WORDS]");
    if ((size_t)expected_events * EVENT + ENDING > MAX_BODY)
        fail("at most %d events", (MAX_BODY - ENDING) / EVENT);
    prepare(path, headers, connections);
    run(seconds, requests, rate);
}

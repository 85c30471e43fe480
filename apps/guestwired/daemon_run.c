/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running daemon: a client of the embedding API with a control socket.
 *
 * Two threads are ours. The control thread runs the loop with the control socket
 * and the signals; it never blocks, so "show" is answered, and a second SIGTERM
 * ends the process, also while a device is slow to start or to stop. The main
 * thread makes the calls that block: gw_start, then it waits for a wish to stop,
 * then gw_stop. The library has its own threads.
 *
 * Life: ports are added; signals are blocked, in all threads to come; the control
 * socket is taken, which is what finds a second daemon on the same path before any
 * device is touched; the control thread runs; gw_start; from now on clients are
 * answered, so that whoever gets an answer knows that all ports are there; READY=1;
 * ...; gw_stop; the control socket's file goes, and with it the last way to ask the
 * context; gw_close gives all devices back; whoever sent "stop" is told; the end.
 */
#include "daemon_run.h"
#include "atomic.h"
#include "confine.h"
#include "control_client.h"
#include "control_server.h"
#include "daemon_background.h"
#include "daemon_log.h"
#include "daemon_notify.h"
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <guestwire/handover.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* On top of the rings' time to drain: for closing devices and for threads to end. */
#define STOP_EXTRA_MS 1000u

struct daemon {
	const struct daemon_config *config;
	struct gw_context *gw;
	struct gw_loop *loop;
	struct control_server *server;
	pthread_t thread;
	bool thread_runs;
	int signal_fd;
	struct gw_watch signal_watch;
	unsigned int signals; /* wishes to stop that came as signals; control thread */
	sem_t stop;           /* posted by the control thread, for the main thread */
	/* Who asked to take over; -1: nobody. Control thread sets, main thread resets. Pair A */
	int successor_fd;
	/* To the one that we take over from, who waits for our last word; -1: there is none */
	int predecessor_fd;
	int listener_fd; /* of that one's control socket, until our server has it */
	int notify_fd;   /* to the service manager */
	int ready_fd;    /* to the process that put us into the background */
	struct confine_plan plan,
		control_plan;             /* what the main thread may do; the control thread */
	bool handed_over;                 /* main thread */
	int status;                       /* main thread: of the process */
	struct confine_state confinement; /* main thread, before the server serves */
};

/* ---- what the control thread does ---- */

static void on_stop_command(void *arg)
{
	struct daemon *daemon = arg;

	daemon_log(LOG_INFO, "stopping: asked through the control socket");
	sem_post(&daemon->stop);
}

/* One at a time; a second one is told no by the end of its connection. */
static void on_takeover_command(void *arg, int fd)
{
	struct daemon *daemon = arg;

	if (gw_load_acquire(&daemon->successor_fd) >= 0) {
		gw_fd_close(&fd);
		return;
	}
	gw_store_release(&daemon->successor_fd, fd); /* pair A */
	daemon_log(LOG_INFO, "another process asks to take over");
	sem_post(&daemon->stop);
}

static json_t *on_about(void *arg)
{
	const struct daemon *daemon = arg;
	json_t *json = json_object();

	json_object_set_new(json, "confinement", confine_json(&daemon->confinement));
	return json;
}

static void take_signal(struct daemon *daemon, const struct signalfd_siginfo *info)
{
	const char *name = sigabbrev_np((int)info->ssi_signo);

	if (info->ssi_signo == SIGHUP) {
		daemon_log(LOG_NOTICE, "SIGHUP: ignored; restart to read the configuration again");
		return;
	}
	daemon->signals++;
	if (daemon->signals == 1) {
		daemon_log(LOG_INFO, "stopping: SIG%s", name);
		sem_post(&daemon->stop);
		return;
	}
	daemon_log(LOG_WARNING, "a second SIG%s: exit at once, frames may still be in devices",
		   name);
	control_server_detach(daemon->server);
	_exit(EXIT_FAIL);
}

static void on_signal(struct gw_watch *watch, uint32_t events)
{
	struct daemon *daemon = gw_container_of(watch, struct daemon, signal_watch);
	struct signalfd_siginfo info;

	while (read(daemon->signal_fd, &info, sizeof(info)) == sizeof(info))
		take_signal(daemon, &info);
}

static void *control_thread(void *arg)
{
	struct daemon *daemon = arg;
	struct gw_error err = { 0 };

	pthread_setname_np(pthread_self(), "gw-socket");
	if (confine_thread(&daemon->control_plan, NULL, &err) < 0) {
		daemon_log(LOG_ERR, "%s", err.text);
		control_server_detach(daemon->server);
		_exit(EXIT_FAIL);
	}
	gw_loop_run(daemon->loop);
	return NULL;
}

/* ---- start and end of the daemon's own parts ---- */

static int open_signals(struct daemon *daemon, struct gw_error *err)
{
	sigset_t set;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (daemon->signal_fd < 0)
		return gw_error_sys(err, -errno, "wait for signals");
	rc = gw_watch_start(daemon->loop, &daemon->signal_watch, daemon->signal_fd, EPOLLIN,
			    on_signal);
	return rc < 0 ? gw_error_sys(err, rc, "wait for signals") : 0;
}

static int open_control(struct daemon *daemon, struct gw_error *err)
{
	struct control_actions actions = { on_stop_command, daemon, on_takeover_command, on_about };
	int rc = gw_loop_create(&daemon->loop);

	if (rc < 0)
		return gw_error_sys(err, rc, "make the control loop");
	rc = open_signals(daemon, err);
	if (rc < 0)
		return rc;
	rc = control_server_open(&daemon->server, daemon->loop, daemon->gw, daemon->config->control,
				 daemon->listener_fd, &actions, err);
	daemon->listener_fd = -1;
	if (rc < 0)
		return rc;
	rc = -pthread_create(&daemon->thread, NULL, control_thread, daemon);
	if (rc < 0)
		return gw_error_sys(err, rc, "start the control thread");
	daemon->thread_runs = true;
	return 0;
}

/* Fine at any point of open_control. */
static void close_control(struct daemon *daemon)
{
	if (daemon->thread_runs) {
		gw_loop_quit(daemon->loop);
		pthread_join(daemon->thread, NULL);
	}
	control_server_close(daemon->server);
	if (daemon->loop)
		gw_watch_stop(daemon->loop, &daemon->signal_watch);
	gw_fd_close(&daemon->signal_fd);
	gw_loop_destroy(daemon->loop);
}

static const char *state_dir(const struct daemon_config *config)
{
	return config->state_dir[0] == '/' ? config->state_dir : NULL;
}

/* ---- confinement ---- */

/* gw_start: all ports are up, and no thread of the library runs. */
static int on_prepared(void *arg, struct gw_error *err)
{
	struct daemon *daemon = arg;

	return confine_thread(&daemon->plan, &daemon->confinement, err);
}

/* Both threads remove the control socket; the second one does nothing else to files. */
static int plan_confinement(struct daemon *daemon, struct gw_error *err)
{
	const char *control = daemon->config->control;
	int rc = confine_plan_ports(&daemon->plan, daemon->gw, err);

	if (rc < 0)
		return rc;
	daemon->plan.on = daemon->control_plan.on = daemon->config->confine;
	if (state_dir(daemon->config))
		rc = confine_plan_path(&daemon->plan, state_dir(daemon->config), CONFINE_RECORDS);
	if (rc < 0)
		return gw_error_sys(err, rc, "confine");
	rc = confine_plan_folder_of(&daemon->plan, control, CONFINE_SOCKETS);
	if (rc == 0)
		rc = confine_plan_folder_of(&daemon->control_plan, control, CONFINE_SOCKETS);
	return rc < 0 ? gw_error_sys(err, rc, "confine") : 0;
}

/* While there is one thread. */
static int prepare_confinement(struct daemon *daemon, struct gw_error *err)
{
	int rc = plan_confinement(daemon, err);

	if (rc == 0 && daemon->config->user[0])
		rc = confine_user(&daemon->plan, daemon->config->user, err);
	if (rc == 0 && daemon->plan.on)
		rc = confine_limits(&daemon->plan, err);
	return rc;
}

/* ---- the library ---- */

/* The library's text without the specification that it begins with: the origin has it already. */
static const char *without_spec(const char *text, const char *spec)
{
	static const char prefix[] = "port ";
	size_t len = strlen(prefix), spec_len = strlen(spec);

	if (strncmp(text, prefix, len) == 0 && strncmp(text + len, spec, spec_len) == 0 &&
	    strncmp(text + len + spec_len, ": ", 2) == 0)
		return text + len + spec_len + 2;
	return text;
}

static int open_library(struct daemon *daemon)
{
	const struct daemon_config *config = daemon->config;
	struct gw_options options = {
		.size = sizeof(options),
		.workers = config->workers,
		.bounce_mib = config->bounce_mib,
		.stop_ms = config->stop_ms,
		.log = daemon_log_sink,
		.state_dir = state_dir(config),
		.prepared = on_prepared,
		.prepared_arg = daemon,
	};
	struct gw_error err = { 0 };

	if (!config->state_dir[0])
		daemon_log(LOG_NOTICE,
			   "what is in flight is not recorded: XDG_RUNTIME_DIR is not set; give "
			   "--state-dir");
	if (gw_open(&options, &daemon->gw, &err) < 0) {
		daemon_log(LOG_ERR, "%s", err.text);
		return EXIT_FAIL;
	}
	for (unsigned int i = 0; i < config->port_count; i++) {
		const struct daemon_port *port = &config->ports[i];

		if (gw_port_add(daemon->gw, port->spec, &err) == 0)
			continue;
		daemon_log(LOG_ERR, "%s: %s", port->origin, without_spec(err.text, port->spec));
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static void open_notify(struct daemon *daemon)
{
	int rc = daemon_notify_open(&daemon->notify_fd);

	if (rc < 0)
		daemon_log(LOG_WARNING, "the service manager hears nothing: NOTIFY_SOCKET: %s",
			   strerror(-rc));
}

static void notify(struct daemon *daemon, const char *state)
{
	int rc = daemon_notify(&daemon->notify_fd, state);

	if (rc < 0)
		daemon_log(LOG_WARNING, "tell the service manager '%s': %s", state, strerror(-rc));
}

/*
 * Who takes over is the service's main process from here on. The other one waits for a last
 * word, which so comes after the manager was told: else he would take the end of that
 * process for the end of the service.
 */
static void notify_ready(struct daemon *daemon)
{
	char state[64];

	snprintf(state, sizeof(state), "READY=1\nMAINPID=%d", (int)getpid());
	notify(daemon, daemon->predecessor_fd >= 0 ? state : "READY=1");
	if (daemon->predecessor_fd >= 0)
		(void)!send(daemon->predecessor_fd, "r", 1, MSG_NOSIGNAL);
	gw_fd_close(&daemon->predecessor_fd);
	daemon_background_tell(&daemon->ready_fd, EXIT_OK);
}

/* Stops the ports, gives the devices back, tells those who asked for it. */
static void stop_all(struct daemon *daemon)
{
	int held;

	notify(daemon, "STOPPING=1");
	held = gw_stop(daemon->gw, daemon->config->stop_ms + STOP_EXTRA_MS);
	if (held > 0)
		daemon_log(LOG_WARNING, "stopped, but devices never gave %d frames back", held);
	control_server_detach(daemon->server);
	gw_close(daemon->gw);
	daemon->gw = NULL;
	control_server_stopped(daemon->server, held > 0 ? (unsigned int)held : 0);
}

/* ---- hand-over ---- */

#define TAKEOVER_MS 5000u

/*
 * Until the service manager knows who goes on; for GW_HANDOVER_PATIENCE_MS, which the library
 * has set. The manager does not hear "STOPPING=1", since the service does not. False: the
 * other one has the guests, and died: a manager should see a failure, and start one anew.
 */
static bool wait_last_word(int fd)
{
	char word;

	return recv(fd, &word, sizeof(word), 0) == sizeof(word);
}

/*
 * To whoever asked, with the control socket, on which clients wait meanwhile. True: he
 * goes on; false: all goes on here.
 */
static bool hand_over(struct daemon *daemon)
{
	int fd = daemon->successor_fd;
	struct gw_error err = { 0 };
	int rc = control_server_hand_over(daemon->server, fd, &err);

	if (rc == 0 && fcntl(fd, F_SETFL, 0) < 0)
		rc = gw_error_sys(&err, -errno, "hand-over");
	if (rc == 0)
		rc = gw_leave(daemon->gw, fd, daemon->config->stop_ms, &err);
	if (rc == 0 && !wait_last_word(fd))
		daemon->status = EXIT_FAIL;
	gw_fd_close(&fd);
	gw_store_release(&daemon->successor_fd, -1);
	daemon->handed_over = rc == 0;
	if (rc == 0)
		return true;
	daemon_log(LOG_ERR, "not taken over, all goes on here: %s", err.text);
	if (control_server_resume(daemon->server, daemon->gw, &err) < 0)
		daemon_log(LOG_ERR, "%s", err.text);
	return false;
}

/*
 * Is this what asking leads to when no daemon runs any more? One that was killed says nothing
 * until it is gone; that it may be about to go is seen when its control socket is to be ours.
 */
static bool is_nobody(int code)
{
	return code == -ENOENT || code == -ECONNREFUSED || code == -ECONNRESET || code == -EPIPE ||
	       code == -ETIMEDOUT;
}

/* From the daemon that runs on our control socket. */
static int take_over(struct daemon *daemon, struct gw_error *err)
{
	int fd, rc = control_client_takeover(daemon->config->control, TAKEOVER_MS, &fd,
					     &daemon->listener_fd, err);

	if (daemon->config->takeover == DAEMON_TAKEOVER_IF_RUNNING && is_nobody(rc)) {
		daemon_log(LOG_INFO, "nothing to take over: %s", err->text);
		return 0;
	}
	if (rc < 0)
		return rc;
	daemon->predecessor_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return gw_take(daemon->gw, fd, err);
}

static int run_ports(struct daemon *daemon)
{
	struct gw_error err = { 0 };
	char confinement[256];

	if (gw_start(daemon->gw, &err) < 0 || control_server_serve(daemon->server, &err) < 0) {
		/* Then the other one goes on, and should not wait for us to end. */
		gw_fd_close(&daemon->predecessor_fd);
		daemon_log(LOG_ERR, "%s", err.text);
		control_server_detach(daemon->server);
		return EXIT_FAIL;
	}
	confine_say(&daemon->confinement, confinement, sizeof(confinement));
	daemon_log(LOG_INFO, "%s", confinement);
	daemon_log(LOG_INFO, "ready: %u port%s, control socket %s", daemon->config->port_count,
		   daemon->config->port_count == 1 ? "" : "s", daemon->config->control);
	notify_ready(daemon);
	do
		while (sem_wait(&daemon->stop) < 0 && errno == EINTR)
			;
	while (gw_load_acquire(&daemon->successor_fd) >= 0 && !hand_over(daemon));
	if (!daemon->handed_over)
		stop_all(daemon);
	if (daemon->status != EXIT_OK)
		daemon_log(LOG_ERR, "the process that took over has ended, or hangs");
	else
		daemon_log(LOG_INFO, "%s",
			   daemon->handed_over ? "another process goes on" : "stopped");
	return daemon->status;
}

int daemon_run(const struct daemon_config *config, int ready_fd)
{
	struct daemon daemon = { .config = config,
				 .signal_fd = -1,
				 .signal_watch.fd = -1,
				 .successor_fd = -1,
				 .predecessor_fd = -1,
				 .listener_fd = -1,
				 .notify_fd = -1,
				 .ready_fd = ready_fd };
	struct gw_error err = { 0 };
	int status = open_library(&daemon);

	sem_init(&daemon.stop, 0, 0);
	open_notify(&daemon);
	if (status == EXIT_OK && (prepare_confinement(&daemon, &err) < 0 ||
				  (config->takeover && take_over(&daemon, &err) < 0) ||
				  open_control(&daemon, &err) < 0)) {
		daemon_log(LOG_ERR, "%s", err.text);
		status = EXIT_FAIL;
	}
	if (status == EXIT_OK)
		status = run_ports(&daemon);
	gw_fd_close(&daemon.predecessor_fd);
	gw_fd_close(&daemon.listener_fd);
	close_control(&daemon);
	gw_close(daemon.gw);
	gw_fd_close(&daemon.notify_fd);
	daemon_background_tell(&daemon.ready_fd, status);
	confine_plan_free(&daemon.plan);
	confine_plan_free(&daemon.control_plan);
	sem_destroy(&daemon.stop);
	return status;
}

int daemon_check(const struct daemon_config *config)
{
	struct daemon daemon = { .config = config };
	struct gw_error err = { 0 };
	int status = open_library(&daemon);

	if (status == EXIT_OK && config->user[0] && confine_user_look(config->user, &err) < 0) {
		daemon_log(LOG_ERR, "%s", err.text);
		status = EXIT_USAGE;
	}
	gw_close(daemon.gw);
	return status;
}

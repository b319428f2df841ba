#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void bye(int s){ (void)s; _exit(0); }
static void reap(int s){ (void)s; while (waitpid(-1, NULL, WNOHANG) > 0) ; }
int main(void){ signal(SIGINT,bye); signal(SIGTERM,bye); struct sigaction a={.sa_handler=reap,.sa_flags=SA_NOCLDSTOP}; sigaction(SIGCHLD,&a,NULL); for(;;) pause(); }

import { execFileSync } from 'node:child_process';

/** Shells that a /bin/sh may be: dash is Debian's, bash that of RHEL, busybox that of Alpine. Of these, what is installed. */
export function shells(): [name: string, argv: string[]][] {
  const all: [string, string[]][] = [['dash', ['dash']], ['bash', ['bash', '--posix']], ['bash as itself', ['bash']], ['busybox', ['busybox', 'sh']]];
  return all.filter(([, argv]) => {
    try {
      return execFileSync(argv[0]!, [...argv.slice(1), '-c', 'echo here'], { encoding: 'utf8' }) === 'here\n';
    } catch {
      return false;
    }
  });
}

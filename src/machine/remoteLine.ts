/**
 * The one command line that a login over ssh gets. The login's shell reads it first, whichever that is: sh, bash, dash,
 * zsh, fish and csh read the same in single quotes as long as there is no quote, newline, `!` or `\` before one of
 * these, so nothing else is sent. All other characters travel as printf's `%b` spells them.
 */

/** What every program there gets, whatever the login's own settings are. */
const ENVIRONMENT = 'LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH';

// The x keeps newlines at the end of a word, which `$()` would take away.
const DECODE = 'n=$#; for w; do w=$(printf %bx "$w"); set -- "$@" "${w%x}"; done; shift $n';

const SETTINGS = 'e=$1; shift; while [ $e -gt 0 ]; do export "$1"; shift; e=$((e-1)); done';

/** What comes before our token on stdin is not the program's: a password that sudo had no use for ends here. */
const SKIP = 't=$1; l=; shift; until [ "$l" = "$t" ]; do IFS= read -r l || exit 255; done';

/** Says that the program begins, and in which process group; what rc files and sudo have said before can be told apart. */
const BEGIN = 'read -r p c s q g r < /proc/self/stat; echo "$t $g"; echo "$t $g" >&2';

// A pipe whose writing end is the program's own stdin never ends and never says anything. `exec` takes no builtin for the program.
const RUN = 'case $h in hold) : | { exec 0<>/proc/self/fd/0; exec "$@"; };; *) (exec "$@");; esac; echo "$t end $?" >&2';

/** Runs a program with marks around what it says. Its stdin begins with {@link inputBefore}. */
export function markedLine(prefix: readonly string[], token: string, argv: readonly string[], options: { env?: Readonly<Record<string, string>>; hold?: boolean } = {}): string {
  const text = `${ENVIRONMENT}; h=$1; shift; ${SKIP}; ${DECODE}; ${SETTINGS}; ${BEGIN}; ${RUN}`;
  return line([...prefix, 'sh', '-c'], text, [options.hold === true ? 'hold' : 'give', token, ...settings(options.env), ...argv]);
}

/** Runs a program in place of all else, with what stdin, stdout and stderr are. */
export function plainLine(prefix: readonly string[], argv: readonly string[]): string {
  return line([...prefix, 'sh', '-c'], `${ENVIRONMENT}; ${DECODE}; exec "$@"`, argv);
}

/** As {@link plainLine}, where stdin begins with {@link inputBefore}. */
export function plainLineWithInput(prefix: readonly string[], token: string, argv: readonly string[]): string {
  return line([...prefix, 'sh', '-c'], `${ENVIRONMENT}; ${SKIP}; ${DECODE}; exec "$@"`, [token, ...argv]);
}

/** What has to be on stdin before the program's own input. */
export const inputBefore = (token: string, password?: string) => `${password === undefined ? '' : `${password}\n`}${token}\n`;

const settings = (env: Readonly<Record<string, string>> = {}) => [String(Object.keys(env).length), ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];

function line(words: readonly string[], text: string, more: readonly string[]): string {
  return `exec ${[...words, text, 'sh', ...more.map(encode)].map((word) => `'${word}'`).join(' ')}`;
}

/** @throws Error for a NUL, which no program's argument can hold */
function encode(word: string): string {
  if (word.includes('\0')) throw new Error('a NUL in an argument');
  return word.replaceAll(/[^A-Za-z0-9 _/.,:;=@^%+*?(){}[\]<>|&$"~#-]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join(''));
}

/** What a program said, less what was said before and after it. */
export interface Said {
  /** The process group that it runs in; undefined when it did not begin. */
  readonly group?: number;
  /** Its exit code; undefined when it did not come to its end. */
  readonly code?: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Takes the marks out again. Without them, all that was said is ssh's, the login shell's or sudo's. */
export function readMarks(token: string, stdout: string, stderr: string): Said {
  const begin = new RegExp(`${token} (\\d+)\\n`);
  const [begun, begunToo] = [begin.exec(stdout), begin.exec(stderr)];
  if (!begunToo) return { stdout, stderr };
  const own = stderr.slice(begunToo.index + begunToo[0].length);
  const end = new RegExp(`${token} end (\\d+)\\n`).exec(own);
  return {
    group: Number(begunToo[1]),
    ...(end && { code: Number(end[1]) }),
    stdout: begun ? stdout.slice(begun.index + begun[0].length) : '',
    stderr: end ? own.slice(0, end.index) : own,
  };
}

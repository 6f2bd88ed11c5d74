import type { FileStat, Machine, RunOptions, RunResult } from './machine.ts';

type Files = Pick<Machine, 'read' | 'stat' | 'list' | 'write' | 'remove' | 'makeDirectory' | 'removeEmptyDirectory' | 'temporaryDirectory' | 'removeTree' | 'symlink'>;
type Run = (argv: readonly string[], options?: RunOptions) => Promise<RunResult>;

/** Files of a machine on which nothing but programs can be run: coreutils and findutils as of Debian 11 do it all. */
export function filesOver(run: Run): Files {
  /** @throws an error with the system's code, as Node's own functions do */
  const must = async (argv: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await run(argv, input === undefined ? {} : { input });
    if (code !== 0) throw systemError(stderr.trim() || `${argv[0] ?? ''}: exit code ${code}`);
    return stdout;
  };
  const script = (text: string, words: readonly string[], input?: string) => must(['sh', '-c', text, 'sh', ...words], input);
  return {
    read: (path) => unlessCode(ABSENT, undefined, async () => Buffer.from(await script(READ, [path]), 'base64')),
    stat: (path) => unlessCode(ABSENT, undefined, async () => toFileStat(await must(['stat', '-c', '%f %u %g %s', '--', path]))),
    list: (path) => unlessCode(ABSENT, [], async () =>
      (await must(['find', '-H', path, '-mindepth', '1', '-maxdepth', '1', '-printf', String.raw`%f\0`])).split('\0').slice(0, -1).toSorted()),
    write: async (path, content, mode) => {
      const bytes = Buffer.from(content);
      await script(WRITE, [path, octal(mode), String(bytes.length)], bytes.toString('base64'));
    },
    remove: async (path) => void (await must(['rm', '-f', '--', path])),
    makeDirectory: async (path, mode) => void (await must(['mkdir', '-m', octal(mode), '--', path])),
    removeEmptyDirectory: (path) => unlessCode(['ENOTEMPTY', 'EEXIST', 'ENOTDIR'], false, () => unlessCode(['ENOENT'], true, async () => {
      await must(['rmdir', '--', path]);
      return true;
    })),
    // In memory: what lies there for a moment leaves no trace on a disk.
    temporaryDirectory: async () => (await must(['mktemp', '-d', '--', '/run/revtun-XXXXXXXXXX'])).trimEnd(),
    removeTree: async (path) => void (await must(['rm', '-rf', '--', path])),
    symlink: async (target, path) => void (await must(['ln', '-sT', '--', target, path])),
  };
}

const octal = (mode: number) => mode.toString(8).padStart(4, '0');

/** Opening a FIFO would wait for a writer that never comes. */
const READ = `
kind=$(stat -L -c %f -- "$1") || exit
case $kind in 8???) exec base64 -w 0 -- "$1";; esac
echo "$1: Invalid argument" >&2
exit 1`;

/** The length tells a whole content from one that a broken connection cut off. `set -C` makes the file anew, or fails. */
const WRITE = `
umask 077
directory=$(dirname -- "$1"; echo x)
directory=\${directory%?x}
beside=$directory/.revtun-$$.tmp
rm -rf -- "$beside" || exit
trap 'rm -f -- "$beside"' EXIT
trap 'exit 1' HUP TERM PIPE
(set -C; base64 -d > "$beside") || exit
[ "$(stat -c %s -- "$beside")" = "$3" ] || { echo "$1: Input/output error" >&2; exit 1; }
chmod -- "$2" "$beside" && sync -- "$beside" && mv -fT -- "$beside" "$1" && sync -- "$directory"`;

function toFileStat(words: string): FileStat {
  const [hex = '', uid, gid, size] = words.trim().split(' ');
  const mode = Number.parseInt(hex, 16);
  const kind = KINDS[mode & 0o170000] ?? 'other';
  return { kind, mode: mode & 0o7777, uid: Number(uid), gid: Number(gid), size: Number(size) };
}

const KINDS: Readonly<Record<number, FileStat['kind']>> = { 0o100000: 'file', 0o040000: 'directory', 0o120000: 'symlink', 0o140000: 'socket' };

/** The system's own sentences (errno(3)), which coreutils end their messages with. */
const CODES: Readonly<Record<string, string>> = {
  'No such file or directory': 'ENOENT',
  // dash's own words for it
  'Directory nonexistent': 'ENOENT',
  'Not a directory': 'ENOTDIR',
  'Is a directory': 'EISDIR',
  'File exists': 'EEXIST',
  'Directory not empty': 'ENOTEMPTY',
  'Permission denied': 'EACCES',
  'Operation not permitted': 'EPERM',
  'No space left on device': 'ENOSPC',
  'Disk quota exceeded': 'EDQUOT',
  'Read-only file system': 'EROFS',
  'Invalid argument': 'EINVAL',
  'Too many levels of symbolic links': 'ELOOP',
  'File name too long': 'ENAMETOOLONG',
};

/** coreutils may say a second, shorter line when they close what they could not write. */
function systemError(said: string): Error {
  const codes = said.split('\n').map((line) => CODES[/: ([^:]+)$/.exec(line)?.[1] ?? '']);
  return Object.assign(new Error(said), { code: codes.find((code) => code !== undefined) ?? 'EIO' });
}

const ABSENT = ['ENOENT', 'ENOTDIR'];

async function unlessCode<T>(codes: readonly string[], value: T, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (codes.includes((error as NodeJS.ErrnoException).code ?? '')) return value;
    throw error;
  }
}

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { start, succeed } from './child.ts';
import { disposable } from './cleanup.ts';
import { freshName, tmuxFolder } from './paths.ts';
import { sleep, waitFor } from './waitFor.ts';

export type TerminalOptions = {
  argv: readonly string[];
  cwd?: string;
  env?: Record<string, string>;
  columns?: number;
  rows?: number;
};

export type Key = 'Enter' | 'Up' | 'Down' | 'Left' | 'Right' | 'Space' | 'BSpace' | 'Tab' | 'Escape' | 'C-c' | 'C-d' | 'C-z' | 'C-u';

/** A program in a real pseudo-terminal (tmux is the terminal), and a person before it. */
export type Terminal = {
  /** What the screen shows: one line a row, no trailing blanks. */
  screen: () => Promise<string>;
  /** Everything that was shown, scrolled off or not; also after the program has ended. */
  history: () => Promise<string>;
  /** Waits until the screen shows a text; resolves to the screen. */
  waitForText: (text: string | RegExp, timeoutMs?: number) => Promise<string>;
  /** Types a text, character by character; no Enter. */
  type: (text: string) => Promise<void>;
  press: (...keys: Key[]) => Promise<void>;
  resize: (columns: number, rows: number) => Promise<void>;
  /** Whether the program has ended. */
  hasExited: () => Promise<boolean>;
  /** Waits for the program's end. */
  exited: (timeoutMs?: number) => Promise<{ code: number }>;
  close: () => Promise<void>;
};

/** Runs a program in a terminal of 80x24 or the given size. */
export async function openTerminal(options: TerminalOptions): Promise<Terminal> {
  const { argv, cwd = process.cwd(), env = {}, columns = 80, rows = 24 } = options;
  const socket = freshName();
  const tmux = (...args: string[]) => ['tmux', '-L', socket, '-f', '/dev/null', ...args];
  // tmux goes its own way as a daemon: something has to end it if we die without a word.
  const guard = start(['sh', '-c', 'cat > /dev/null; exec tmux -L "$1" kill-server', 'sh', socket], ['pipe', 'ignore', 'ignore']);
  const guardEnded = once(guard, 'exit');
  const close = disposable(async () => {
    guard.stdin?.end();
    await guardEnded;
    rmSync(join(tmuxFolder(), socket), { force: true });
  });
  try {
    const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const preparations = [
      'set-option -s exit-empty off',
      'set-option -g status off',
      'set-option -g history-limit 50000',
      'set-option -g default-terminal screen-256color',
      'set-option -s escape-time 0',
      'set-option -wg remain-on-exit on',
      "set-option -wg remain-on-exit-format ''",
    ];
    await succeed(tmux('start-server', ';', 'source-file', '-'), { input: preparations.join('\n') });
    // tmux would hand a single word to a shell; and `env` keeps tmux's own variables from the program.
    const program = ['env', '-u', 'TMUX', '-u', 'TMUX_PANE', ...settings, ...argv].map(withoutSeparator);
    await succeed(tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), '-c', cwd, '--', ...program));
  } catch (error) {
    await close();
    throw error;
  }

  const capture = async (...extra: string[]) => {
    const text = await succeed(tmux('capture-pane', '-p', ...extra));
    return text.replace(/[ \n]+$/, '');
  };
  const screen = () => capture();
  const status = async () => {
    const shown = await succeed(tmux('display-message', '-p', '#{pane_dead},#{pane_dead_status},#{pane_dead_signal}'));
    const [dead, code, signal] = shown.trim().split(',');
    if (code) return { code: Number(code) };
    if (signal) return { code: 128 + Number(signal) };
    // tmux misses the end of a program while libutempter notes the end of its terminal. The end of another one wakes it up.
    if (dead === '1') await succeed(tmux('run-shell', '-b', 'true'));
    return undefined;
  };
  return {
    screen,
    history: () => capture('-J', '-S', '-'),
    waitForText: async (text, timeoutMs = 10_000) => {
      let last = '';
      try {
        return await waitFor(
          async () => {
            last = await screen();
            return (typeof text === 'string' ? last.includes(text) : text.test(last)) && last;
          },
          // Closely: a key that is pressed at this sight has to arrive before the next thing happens.
          { timeoutMs, everyMs: 20 },
        );
      } catch {
        throw new Error(`waited ${timeoutMs} ms in vain for ${String(text)}; the screen shows:\n${last}`);
      }
    },
    type: async (text) => {
      await succeed(tmux('send-keys', '-l', '--', withoutSeparator(text)));
    },
    press: async (...keys) => {
      for (const key of keys) {
        await succeed(tmux('send-keys', key));
        // A prompt that redraws between two keys would lose the second one, as with no person it does.
        await sleep(20);
      }
    },
    resize: async (newColumns, newRows) => {
      await succeed(tmux('resize-window', '-x', String(newColumns), '-y', String(newRows)));
    },
    hasExited: async () => (await status()) !== undefined,
    exited: (timeoutMs = 10_000) => waitFor(status, { timeoutMs, what: 'the program in the terminal to end' }),
    close,
  };
}

/** tmux takes a last `;` of any argument for its own separator of commands. */
function withoutSeparator(argument: string): string {
  return argument.endsWith(';') ? `${argument.slice(0, -1)}\\;` : argument;
}

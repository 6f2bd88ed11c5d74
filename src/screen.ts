import { harmless, type Mark, MARKS } from './output.ts';
import { styleText } from 'node:util';
import { wrap } from './wrap.ts';

/** One line of a person's, with its mark if it has one. */
export interface Row {
  readonly mark?: Mark;
  readonly text: string;
}

/** What to show on so many rows; called again when the terminal is resized. */
export type Frame = (rows: number) => readonly Row[];

/** A terminal that shows one thing and keeps it up to date in its place. */
export interface Screen {
  show(frame: Frame): void;
  /** Gives the terminal back as it was, and leaves there what was shown last. */
  close(): void;
}

// xterm's control sequences, which every terminal of today knows: the alternate screen has no scrollback, and what was on
// the terminal before is there again afterwards.
const ENTER = '\u001B[?1049h\u001B[?25l\u001B[?7l';
const LEAVE = '\u001B[?7h\u001B[?25h\u001B[?1049l';
const [TO_TOP, CLEAR_LINE, CLEAR_BELOW] = ['\u001B[H', '\u001B[K', '\u001B[J'];

/** @returns undefined where there is no terminal that could show the same place twice */
export function openScreen(stream: NodeJS.WriteStream = process.stdout): Screen | undefined {
  if (!stream.isTTY || process.env['TERM'] === 'dumb') return undefined;
  let frame: Frame = () => [];
  let shown = '';
  const draw = () => {
    const text = TO_TOP + linesOf(frame, stream).join(`${CLEAR_LINE}\n`) + CLEAR_LINE + CLEAR_BELOW;
    // In one write, so that nobody ever sees half of it; and none where nothing has changed.
    if (text !== shown) stream.write(text);
    shown = text;
  };
  const resume = () => {
    shown = '';
    stream.write(ENTER);
    draw();
  };
  const suspend = () => {
    stream.write(LEAVE);
    process.kill(process.pid, 'SIGSTOP');
  };
  stream.on('resize', draw);
  process.on('SIGTSTP', suspend);
  process.on('SIGCONT', resume);
  stream.write(ENTER);
  return {
    show: (next) => {
      frame = next;
      draw();
    },
    close: () => {
      stream.off('resize', draw);
      process.off('SIGTSTP', suspend);
      process.off('SIGCONT', resume);
      stream.write(`${LEAVE}${linesOf(frame, stream).map((line) => `${line}\n`).join('')}`);
    },
  };
}

function linesOf(frame: Frame, stream: NodeJS.WriteStream): string[] {
  // A serial console does not know its size, and says 0.
  const [columns, rows] = [stream.columns || 80, stream.rows || 24];
  return frame(rows).flatMap(({ mark, text }) => wrapped(mark, harmless(text), columns, stream)).slice(0, rows);
}

function wrapped(mark: Mark | undefined, text: string, columns: number, stream: NodeJS.WriteStream): string[] {
  const lines = wrap(mark === undefined ? text : `${MARKS[mark][1]} ${text}`, '', '  ', columns).split('\n');
  // Colour comes last: it takes no room.
  return mark === undefined ? lines : lines.with(0, styleText(MARKS[mark][0], MARKS[mark][1], { stream }) + lines[0]!.slice(1));
}

/** Aborted when nobody can read any more what is written there: the terminal is closed, or the pipe. */
export function whenUnread(stream: NodeJS.WriteStream = process.stdout): AbortSignal {
  const gone = new AbortController();
  stream.once('error', () => gone.abort());
  process.once('SIGHUP', () => gone.abort());
  return gone.signal;
}

/** Frames of text as they come over HTTP/2, for tests of both ends of a stream. */
import type { Http2Stream } from 'node:http2';
import { framed as framedBytes } from '../../support/api-calls.ts';

/** A message of text, as gRPC frames it. */
export function framed(text: string, flag = 0): Buffer {
  return framedBytes(Buffer.from(text, 'latin1'), flag);
}

/** Short and long ones, and empty ones. */
export const texts = ['', 'a', 'bc'.repeat(50_000), '', 'd'.repeat(200_000), 'e'];

/** Sends `texts` in pieces that have nothing to do with where they begin and end. */
export async function sendCut(stream: Http2Stream): Promise<void> {
  const bytes = Buffer.concat(texts.map((text) => framed(text)));
  for (let at = 0, size = 1; at < bytes.length; at += size, size = ((size * 7) % 30_011) + 1) {
    stream.write(bytes.subarray(at, at + size));
    if (size % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Has the receiver of `frames` paused by each of them. */
export function pauseOnEach(frames: string[], pause: () => void): void {
  const push = frames.push.bind(frames);
  frames.push = (...more) => {
    pause();
    return push(...more);
  };
}

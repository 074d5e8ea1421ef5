// SPDX-License-Identifier: Apache-2.0

/** Keys and names, for who asks. */
export function Help({ live }: { live: boolean }) {
  return (
    <details class="help" data-testid="help">
      <summary>Keys and names</summary>
      <dl>
        <dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>on a token: the one before, the next</dd>
        <dt><kbd>Home</kbd> <kbd>End</kbd></dt><dd>on a token: the first, the last</dd>
        <dt><kbd>↑</kbd> <kbd>↓</kbd></dt><dd>on a token: the layer above, below</dd>
        {live && (
          <>
            <dt><kbd>/</kbd></dt><dd>to the sentence</dd>
            <dt><kbd>Enter</kbd></dt><dd>in the sentence: read it (with Shift: a new line)</dd>
            <dt><kbd>Esc</kbd></dt><dd>from the sentence back to the tokens</dd>
          </>
        )}
        <dt>2.1.17</dt><dd>layer 2, channel 1, neuron 17, all counted from 0</dd>
        <dt>circuit</dt><dd>the neurons that a token’s routers choose, with their scores</dd>
        <dt><span class="blank"> </span> ⏎</dt><dd>a token’s leading blank, the end of a line</dd>
      </dl>
    </details>
  );
}

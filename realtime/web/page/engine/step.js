// @ts-check
/**
 * One live step: receives a frame's samples and returns the probabilities of the frame R frames earlier, where R is
 * the look-ahead. See model/ONNX.md.
 */

/**
 * @typedef {import("onnxruntime-web").InferenceSession} Session
 * @typedef {import("onnxruntime-web").Tensor} Tensor
 * @typedef {{keys: Float32Array, pedal: number | null}} Probable probabilities [88 * 4] of a frame
 */

export class Step {
  /**
   * @param {typeof import("onnxruntime-web")} ort
   * @param {Session} session
   * @param {import("./graph.js").Skeleton} skeleton
   */
  constructor(ort, session, skeleton) {
    this.ort = ort;
    this.session = session;
    this.look_ahead = skeleton.look_ahead;
    this.thresholds = skeleton.thresholds;
    this.states = skeleton.states;
    this.state = this.first();
    this.steps = 0;
  }

  /** Restores the state before the first frame. */
  reset() {
    this.state = this.first();
    this.steps = 0;
  }

  first() {
    /** @type {Record<string, Tensor>} */
    const state = {};
    for (const { name, shape, start } of this.states) {
      const size = shape.reduce((product, side) => product * side, 1);
      state[name] = new this.ort.Tensor("float32", new Float32Array(size).fill(start), shape);
    }
    return state;
  }

  /**
   * Returns a frame's probabilities, or null in the first R steps, whose frames lie before the sound.
   * @param {Float32Array} samples of one frame
   * @returns {Promise<Probable | null>}
   */
  async run(samples) {
    const input = new this.ort.Tensor("float32", samples, [1, samples.length]);
    const out = await this.session.run({ samples: input, ...this.state });
    /** @type {Record<string, Tensor>} */
    const next = {};
    for (const { name, source } of this.states) next[name] = out[source] ?? this.state[source];
    this.state = next;
    if (this.steps++ < this.look_ahead) return null;
    return {
      keys: /** @type {Float32Array} */ (out.probabilities.data),
      pedal: out.pedal ? Number(out.pedal.data[0]) : null,
    };
  }
}

import DefaultTheme from 'vitepress/theme-without-fonts'
import Player from './Player.vue'
import Predict from './Predict.vue'
import Predicted from './Predicted.vue'
import { guard_answers } from './predictions.js'
import './style.css'

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('Player', Player)
    app.component('Predict', Predict)
    app.component('Predicted', Predicted)
    if (!import.meta.env.SSR) guard_answers()
  },
}

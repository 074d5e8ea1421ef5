# SPDX-License-Identifier: Apache-2.0
"""Plots about games, seasons, feasts and jokes."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

PLOTS = (
    Plot(
        "birthday",
        choices=(
            {
                "clue": "there was paper in the bin",
                "spot": "in the barn",
                "wish": "{a colour} cake",
            },
            {
                "clue": "someone giggled behind a door",
                "spot": "in the garden",
                "wish": "a cake with {number} candles",
            },
            {
                "clue": "the cupboard was locked",
                "spot": "behind the house",
                "wish": "a cake in the shape of a ship",
            },
            {
                "clue": "everyone stopped talking when {he} came in",
                "spot": "under the {tree}",
                "wish": "a pie with {fruits}",
            },
            {
                "clue": "there was glitter on the doorstep",
                "spot": "on the big lawn",
                "wish": "a mountain of pancakes",
            },
            {
                "clue": "a balloon floated past the window",
                "spot": "by the pond",
                "wish": "a cake as big as a wheel",
            },
        ),
        beats=(
            (
                "Today was the birthday of {intro}.{fact hero} {He} jumped out of bed and ran to"
                " the kitchen.",
                "{Intro} woke up and smiled, because today was {his} birthday.{fact hero}",
                "<brief> Today was {his} birthday, and {he} could hardly wait.",
            ),
            (
                'But {parent} only said, "Good morning," and nothing else.',
                "But on the table there was only porridge, as on any other day.",
                "But nobody sang, and nobody said a word about it.",
            ),
            "<pets>",
            PARAGRAPH,
            (
                '{Hero} went to see {his} {pal}.{fact friend} "I have no time today," said'
                " {friend} and shut the door.",
                'On the way {he} met {his} {pal}.{fact friend} "Nice weather," said {friend} and'
                " hurried off.",
                "{He} asked {his} {pal} to play, but {friend} had a lot to do.{fact friend}",
            ),
            (
                "{Hero} met {elder} too, and {elder} only waved.{fact elder}",
                "It was strange that {clue}, but {hero} did not think about it.",
                "<meet>",
                "<watch>",
            ),
            (
                '"Everyone has forgotten me," {he} thought, and {he} felt very {sad}.',
                "{Hero} walked home slowly with {his} head down.",
                "A tear rolled down {his} nose and dropped on {his} {wear}.",
            ),
            PARAGRAPH,
            (
                "Then {he} heard a whisper {spot}. {He} went to look, and everyone jumped up."
                ' "Surprise!" they shouted.',
                "That evening {parent} asked {him} to fetch {a box} {spot}. There hung lanterns in"
                ' every color. "Happy birthday!" shouted all {his} friends.',
            ),
            (
                '"We had so much to do," said {friend}, "and it was so hard not to tell you!"',
                "There was {wish}, and there was music.",
                "{Friend} gave {him} {a colour} {toy}, and {elder} gave {him} a book.",
            ),
            (
                "{Hero} laughed so much that {he} could not blow out the candles.",
                "They danced until the stars came out. <night>",
                "It was the best birthday that {he} had ever had.",
                "<happy>",
            ),
        ),
    ),
    Plot(
        "hide and seek",
        pair=True,
        choices=(
            {"spot": "in a barrel", "gave": "A sneeze came out of the barrel"},
            {"spot": "behind a curtain of leaves", "gave": "The leaves began to giggle"},
            {"spot": "under a heap of hay", "gave": 'The hay said, "Ouch!"'},
            {"spot": "in a hollow trunk", "gave": "Two feet stuck out of the trunk"},
            {"spot": "behind the laundry on the line", "gave": "One of the shirts had toes"},
            {"spot": "under a turned over boat", "gave": "The boat began to hum {a tune}"},
            {"spot": "inside a big flower pot", "gave": "The flower pot hiccuped"},
            {"spot": "behind a scarecrow", "gave": "The scarecrow had four arms"},
        ),
        beats=(
            "<pair> <one day> they played hide and seek.",
            (
                "{Friend} closed {his2} eyes and counted to twenty.",
                '"I count, and you hide," said {friend}.',
            ),
            (
                "{Hero} looked for a good place.",
                "{Hero} ran as quietly as {he} could.",
            ),
            PARAGRAPH,
            (
                "The first place was too small, and the second one was full of ants. Then {hero}"
                " hid {spot}.",
                "{Hero} ran left and right and left again, and then {he} hid {spot}.",
                "{Hero} knew the best place of all. {He} hid {spot}.",
            ),
            "<watch>",
            maybe(
                '"Here I come!" called {friend}. {He2} looked behind {a tree} and under the bench.',
                "{Friend} looked high and low. {He2} found a lost {trinket}, but {he2} did not"
                " find {hero}.",
                "{Friend} walked right past {him} {number} times. {Hero} held {his} breath.",
            ),
            PARAGRAPH,
            (
                "It got late, and it was no fun to hide anymore, all alone and so still.",
                "After a while {hero} began to wonder. What if {friend} had gone home?",
                '"I give up!" called {friend} at last. "Please come out!"',
                "{Friend} called and called, and {his2} voice began to shake.",
            ),
            (
                '{Gave}. "Found you!" cried {friend}.',
                "Just then it happened. {Gave}, and {friend} burst out laughing.",
            ),
            (
                '"That was the best place ever," said {friend}. "Will you show me?" And then they'
                " both hid there, and nobody had to look for them.",
                "They rolled in the grass and laughed until their bellies hurt.",
                '"I knew that you would find me," said {hero}. "I will always find you," said'
                " {friend}.",
                '"Now it is my turn to count," said {hero}. But {he} peeked a little, as everyone'
                " does.",
            ),
            (
                "",
                "",
                "<home again>",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "stuck in a tree",
        world="woods",
        choices=(
            {"item": "kite"},
            {"item": "balloon"},
            {"item": "hat"},
            {"item": "ball"},
            {"item": "scarf"},
            {"item": "toy plane"},
            {"item": "paper bird"},
            {"item": "parasol"},
        ),
        beats=(
            "<brief> <one day> {he} played outside with {his} {colour} {item}.{fact item}",
            (
                "Then the wind came and threw it up into {a tree}.",
                "A gust of wind took it and hung it on the top branch of {a tree}.",
            ),
            (
                "{Hero} jumped, but {he} could not reach it.",
                "{Hero} shook the trunk, but nothing came down except {a bird} that complained.",
                "{Hero} threw a stick at it. Now the stick hung up there too.",
            ),
            PARAGRAPH,
            (
                'A peacock walked by. The peacock was proud and said, "I never climb." A bee flew'
                " by. The bee was busy and did not stop.",
                "A goose came by. The goose was bossy and told {him} to jump higher. That did not"
                " help at all.",
                "{His} {pal} came with a ladder. The ladder was wobbly, so they put it away again.",
                "A cat lay under the tree. The cat was lazy and only watched.",
                "A donkey came along. The donkey was stubborn and said that it could not be done.",
            ),
            maybe(
                '"It will hang there forever," said {hero}, and {he} felt {sad}.',
                '"Can nobody help me?" called {hero}.',
                "{Hero} sat down on a root and sniffed.",
            ),
            PARAGRAPH,
            (
                "Then a giraffe looked over the bushes. The giraffe was tall and only had to"
                ' stretch a little. "Is this yours?"',
                "Then a monkey swung by. The monkey was silly and put the {item} on first, like a"
                " crown. But then it came down to {him}.",
                "Then an elephant came along. The elephant was huge, and the trunk reached right"
                " up to the top.",
                "Then a bear came along. The bear was strong and shook the tree until the {item}"
                " fell.",
                "A spider had watched it all. The spider was patient, spun a long thread, and let"
                " the {item} down on it.",
            ),
            (
                '"Thank you!" cried {hero}. "Now we can play together," and so they did.',
                "{Hero} caught the {colour} {item} and danced around the tree.",
                '"How can I thank you?" asked {hero}. "You just did," came the answer.',
            ),
            (
                "From then on, {he} played in the open field.",
                "And when a nut got stuck in a crack, it was {hero} who could help. Everyone is"
                " the right size for something.",
                "<night>",
                "<happy>",
            ),
        ),
    ),
    Plot(
        "snow day",
        world="town",
        pair=True,
        choices=(
            {
                "thing": "snowman",
                "lack": "nose",
                "use": "a carrot",
                "more": "The carrot was crunchy, and a rabbit ate it the next day",
            },
            {
                "thing": "snowman",
                "lack": "hat",
                "use": "an empty pot",
                "more": "A robin sat down on top of it",
            },
            {
                "thing": "snow cat",
                "lack": "tail",
                "use": "a broom",
                "more": "It looked ready to sweep the whole street",
            },
            {
                "thing": "snow castle",
                "lack": "flag",
                "use": "{a colour2} sock",
                "more": "The castle was grand, and a mouse could have been its king",
            },
            {
                "thing": "snow dragon",
                "lack": "tongue",
                "use": "{a colour2} scarf",
                "more": "Every dog in town barked at it",
            },
            {
                "thing": "snow whale",
                "lack": "eyes",
                "use": "two buttons",
                "more": "It seemed to swim across the yard",
            },
            {
                "thing": "snow bear",
                "lack": "ears",
                "use": "two potatoes",
                "more": "It listened to everything they said",
            },
        ),
        beats=(
            (
                '"Wake up!" {hero} called to {his} {pal}. "It has snowed!"',
                "In the morning the whole world lay white and still. {Hero} ran outside with {his}"
                " {pal}.",
                "{Hero} looked out of the window and cheered. The school was closed, because it"
                " had snowed all night! {He} called {his} {pal}.",
            ),
            (
                "They put on boots and mittens, and {hero} took {his} {colour} scarf.",
                "The snow squeaked under their boots, and their breath looked like smoke.",
                "They caught snowflakes on their tongues.",
            ),
            "<snow>",
            PARAGRAPH,
            (
                "They rolled and patted and pushed until they had made {a thing}.",
                '"Let us build {a thing}," said {friend}. It took them the whole morning.',
            ),
            (
                "But something was missing. It had no {lack}!",
                '{Hero} stepped back and looked at it. "It has no {lack}," {he} said.',
            ),
            maybe(
                "A branch looked wrong, and a mitten looked even worse.",
                "They tried an icicle, but it fell off.",
                "They searched the whole yard and found nothing.",
                "They asked {elder}, who only shrugged.",
            ),
            PARAGRAPH,
            (
                "Then {friend} ran inside and came back with {use}. It fit perfectly! {More}.",
                "Then {hero} had an idea. {He} fetched {use}, and now it looked just right."
                " {More}.",
                '"Would this help?" asked {parent} and held out {use}. It did. {More}.',
            ),
            (
                "{Parent} called them in for {drink}. Their cheeks glowed.",
                "Inside, they pulled off their socks and drank {drink}. They waved at the {thing}"
                " through the window.",
                "Then someone threw the first snowball, and nobody knows who.",
            ),
            maybe(
                "A week later it had melted, but {friend} had drawn a picture of it.",
                '"Do you think it is lonely?" asked {friend}. So the next day they made another.',
                "That night, when all was still, the {thing} kept watch over the street.",
                "<night>",
            ),
        ),
    ),
    Plot(
        "sand castle",
        world="town",
        pair=True,
        choices=(
            {"deco": "shells"},
            {"deco": "feathers"},
            {"deco": "seaweed"},
            {"deco": "pebbles"},
            {"deco": "bottle caps"},
            {"deco": "driftwood"},
            {"deco": "starfish"},
        ),
        beats=(
            (
                "{Hero} and {his} {pal} spent {a fine} day at the beach.",
                "<brief> <one day> {he} went to the beach with {his} {pal}.",
                "It was the first day of the summer. {Hero} and {his} {pal} ran down to the sea.",
            ),
            "They began to build a sand castle. The castle was grand, with walls and gates and"
            " {deco} on every tower.",
            (
                "{Hero} dug, and {friend} fetched water in {a colour} bucket.",
                "{Friend} made the towers, and {hero} made a bed for the princess.",
                "A crab walked in through the gate and became the king.",
            ),
            "<beach>",
            PARAGRAPH,
            (
                "They worked so hard that they did not see the water come closer.",
                "Then they ate {fruits}, and nobody watched the tide.",
            ),
            (
                "Whoosh! A big wave rolled over the castle, and nothing but a hump was left.",
                "First the sea took the gate, then the walls, and at last the highest tower.",
                "Splash! One wave, and half of it had gone. Splash! The rest was gone too.",
            ),
            maybe(
                "{Friend} burst into tears, and {hero} threw down {his} shovel.",
                '"All that work for nothing!" cried {friend}.',
                '"Bad sea!" shouted {hero} and kicked the foam.',
            ),
            PARAGRAPH,
            (
                'Then {hero} looked at the wet hump. "It is not a castle," {he} said. "It is a'
                ' whale!" And soon it was one, with {a colour} bucket for an eye.',
                '"The sea only wanted to play," said {parent}. So they built a new one, farther'
                " up, and a small one for the waves.",
                '"Next time we build it farther up," said {hero}. "And bigger," said {friend} and'
                " wiped {his2} eyes.",
                'Then {friend} began to laugh, with tears still on {his2} cheeks. "Did you see the'
                ' king swim?" {he2} asked.',
            ),
            (
                "When the sun sank into the sea, they still sat there, side by side.",
                "They filled their pockets with {deco} and went home, salty and sandy and {happy}.",
                "<night>",
                "They came back the next day, and so did the sea.",
            ),
        ),
    ),
    Plot(
        "picnic",
        pair=True,
        choices=(
            {"pest": "a line of ants", "took": "carried off the crumbs"},
            {"pest": "a family of ducks", "took": "ate up the {fruits}"},
            {"pest": "a big gray cloud", "took": "rained on the {treat}"},
            {"pest": "a goat", "took": "ate the tablecloth"},
            {"pest": "a swarm of flies", "took": "sat down on the jam"},
            {"pest": "a gust of wind", "took": "blew the napkins into the pond"},
            {"pest": "a crow", "took": "stole the biggest cookie"},
        ),
        beats=(
            "<pair> <one day> they packed {a treat}, some {fruits} and a jug of {drink} for a"
            " picnic.",
            (
                "<way>",
                "<meet>",
                "<way>",
            ),
            "Under {a tree} they spread out {a colour} cloth.{fact treat}",
            PARAGRAPH,
            (
                "But before they could take a bite, there came {pest} and {took}.",
                '"Now we eat," said {hero}. But then {pest} came and {took}.',
            ),
            maybe(
                '"Go away!" cried {friend} and waved {his2} {wear}. It did not help.',
                '"Our lovely picnic!" cried {hero}.',
                "{Hero} jumped up and slipped, right into the {fruits}.",
            ),
            maybe(
                "They snatched up what was left and ran to another spot. <way>",
                "They looked at the mess, and then they looked at each other.",
                "{Friend} wanted to go home and pouted.",
            ),
            PARAGRAPH,
            (
                '"You have {a colour} nose," said {friend} suddenly, and then neither of them'
                " could stop laughing.",
                "Then {elder} came by and shared some {meal} with them.",
                '"Let us pretend that we are lost on an island," said {hero}, "and this is all we'
                ' have." After that, even the crumbs tasted wonderful.',
                "So they made a picnic under the kitchen table, with the cloth as a tent.",
            ),
            (
                "It was not the picnic they had planned. It was better.",
                "They still talk about it, more than about any picnic that went well.",
                "<home again>",
                '"Same place next week?" asked {hero}. "Same place," said {friend}, "and twice as'
                ' much cake."',
            ),
        ),
    ),
    Plot(
        "hiccups",
        choices=(
            {
                "cure": "drank {a cup} of water upside down",
                "end": "the water came out of {his} nose",
            },
            {
                "cure": "held {his} breath and counted to {number}",
                "end": "{he} turned as red as a beet",
            },
            {"cure": "stood on one leg and sang", "end": "{he} fell into a bush"},
            {"cure": "ate a spoon of sugar", "end": "{he} wanted another one"},
            {"cure": "jumped over a puddle {number} times", "end": "{his} socks got wet"},
            {"cure": "said the alphabet backward", "end": "{he} got lost after the letter W"},
            {"cure": "put {a colour} sock on {his} head", "end": "{he} looked very odd"},
        ),
        beats=(
            (
                "<brief> <one day> {he} ate {his} {treat} too fast.{fact treat}",
                "<brief> <one day> {he} laughed with {his} mouth full of {fruits}.",
            ),
            '"Hic!" went {hero}. "Hic! I have the hiccups!"',
            PARAGRAPH,
            (
                'First {he} {cure}, but {end}. "Hic!"',
                '{Parent} knew what to do. So {hero} {cure}, but {end}, and that was all. "Hic!"',
            ),
            maybe(
                '"You need a fright," said {parent}. "Boo!" {Hero} only laughed. "Hic!"',
                '{Elder} told {him} to think of a white horse. "It has, hic, no tail!" said'
                " {hero}.",
            ),
            (
                "<watch>",
                "<pets>",
            ),
            PARAGRAPH,
            (
                'Then {his} {pal} asked, "What do you get for supper tonight?" {Hero} thought so'
                " hard that {he} forgot to hic.",
                "Then a door banged right behind {him}! {Hero} jumped high into the air, and when"
                " {he} came down, the hiccups had gone.",
                "In the end {hero} gave up and read a book. At the most exciting page, {he}"
                " noticed how quiet it was.",
            ),
            (
                '"They are gone!" {he} cried. For a moment everyone was still. "Hic!" went'
                " {parent}.",
                '"At last," said {parent}. "Now we can, hic!"',
                '"I almost miss them," said {hero}.',
                "After that, {hero} chewed every bite ten times. Well, almost every bite.",
            ),
        ),
    ),
    Plot(
        "mystery voice",
        world="town",
        choices=(
            {"words": "Eat your peas", "place": "on top of the cupboard"},
            {"words": "Time for bed", "place": "behind the curtain"},
            {"words": "Wash your hands", "place": "in the lamp"},
            {"words": "Put on your hat", "place": "on the curtain rod"},
            {"words": "Good night, old bean", "place": "in the flower pot"},
            {"words": "Close the door", "place": "on the coat rack"},
            {"words": "What a mess", "place": "in the laundry basket"},
        ),
        beats=(
            "<brief> <one day> {he} was reading on the {seat} when somebody spoke.",
            '"{Words}!" said the voice.',
            PARAGRAPH,
            (
                '"Was that you, {parent}?" asked {hero}. But {parent} was in the garden.',
                "{Hero} looked up. There was nobody in the room.",
            ),
            (
                '{He} looked under the table and in the closet. "{Words}!" said the voice again.',
                '"Who is there?" {he} called. "{Words}!" came the answer.',
                '{He} shook {his} book, but books do not talk. "{Words}!" it went, a little'
                " louder.",
            ),
            (
                "So {he} called {his} {pal}, and they searched the whole house. <pets>",
                "{Hero} put {a cup} on {his} ear and crept along the wall. <pets>",
                '"It must be a ghost," whispered {his} {pal}, "a very polite one."',
            ),
            PARAGRAPH,
            (
                "Then something {colour} moved {place}. It was a parrot! The parrot was noisy, and"
                ' now it laughed. "{Words}! {Words}!"',
                "At last they looked {place}, and there sat a parrot. The parrot was noisy, and it"
                " had come in through the window.",
            ),
            maybe(
                'The bird belonged to {elder}, who came at once and said sorry. "I say that every'
                ' day," said {elder}.',
                '"{Words}!" said {hero} to the parrot. It was so surprised that it forgot to'
                " answer.",
                "{Elder} came to take it home, and {hero} was allowed to visit it every week.",
            ),
            (
                'By the end of the month it had learned a new sentence. "{Hero} is the best!" it'
                " said.",
                "Now there are two in the street who say it all day long, the parrot and {hero}.",
                "But ever since, {hero} looks up when {he} hears that sentence.",
                "",
            ),
        ),
    ),
    Plot(
        "echo",
        world="woods",
        choices=(
            {"say": "Hello", "mean": "You are a cabbage", "kind": "You are wonderful"},
            {"say": "Come out", "mean": "Go away", "kind": "Come and play"},
            {"say": "Good morning", "mean": "I do not like you", "kind": "I like you"},
            {"say": "Ahoy", "mean": "You are rude", "kind": "You are my friend"},
            {"say": "Hey", "mean": "Stop that", "kind": "Sorry"},
        ),
        beats=(
            "<brief> <one day> {he} came to a cave. The cave was damp and looked empty.",
            '"{Say}!" {he} called into it. "{Say}!" called a voice from inside.',
            PARAGRAPH,
            (
                "{Hero} grew {cross}, for who was making fun of {him}?",
                "{Hero} thought that this was very rude.",
                "<watch>",
            ),
            '"{Mean}!" {he} cried, and the voice cried the same.',
            (
                "{Hero} ran all the way home and told {parent} about it.",
                "{Hero} ran home to {parent} with tears in {his} eyes.",
            ),
            PARAGRAPH,
            (
                '"Go back and say something nice," said {parent}.',
                '"The world answers as you call," said {parent}. "Try it with a kind word."',
            ),
            (
                'So {hero} went back to the cave and called, "{Kind}!" And the voice called back,'
                ' "{Kind}!"',
                '"{Kind}!" {hero} called into the cave. "{Kind}!" answered the voice at once.',
            ),
            (
                "{Hero} smiled from ear to ear. Now {he} had a friend who always agreed with"
                " {him}.",
                "They talked about {fruits} and {flower} and {dream}, and not one bad word"
                " was said.",
                "From that day on, {hero} thought before {he} shouted.",
                'Later {he} showed it to {his} {pal}. "That is an echo, and a nice one," said'
                " {friend}.",
            ),
        ),
    ),
    Plot(
        "the balloon",
        world="town",
        choices=(
            {
                "land": "in the garden of a widow who lived alone",
                "then": "They were invited to tea",
            },
            {
                "land": "on a ship, and the captain tied it to the mast",
                "then": "A postcard came from far away",
            },
            {
                "land": "in a hospital yard, where a sick child caught it",
                "then": "The child sent a drawing of it",
            },
            {
                "land": "on a farm, where a pig fell in love with it",
                "then": "They went to meet the pig",
            },
            {
                "land": "in another country, where it was night",
                "then": "A letter came with a stamp that nobody knew",
            },
            {
                "land": "in the zoo, where the seals played with it",
                "then": "They got a free ticket",
            },
        ),
        beats=(
            (
                "At the fair {parent} bought {hero} {a colour} balloon.",
                "<brief> <one day> {he} got {a colour} balloon at the fair.",
            ),
            "<street>",
            maybe(
                "{He} tied it to {his} wrist, but the knot was loose.",
                "{He} held the string tight and danced with it. <street>",
                "{Hero} gave the balloon a name and drew a smile on it.",
            ),
            PARAGRAPH,
            (
                "Then a gust of wind came, and the balloon slipped away.",
                "Then {he} had to sneeze, and {he} let go.",
                "When {he} waved to a friend, the string slid out of {his} hand.",
            ),
            maybe(
                "It rose over the roofs, smaller and smaller, until it was only {a colour} dot.",
                "{Hero} ran after it and jumped, but the sky was too far away.",
                '"Come back!" cried {hero}. But balloons do not listen.',
            ),
            (
                "{Hero} cried all the way home. <home>",
                "{Hero} looked up for a while and did not say a word.",
                '"Do you want a new one?" asked {parent}. {Hero} shook {his} head.',
            ),
            PARAGRAPH,
            (
                '"Maybe it wants to see the world," said {his} {pal}, and {hero} had to smile.',
                '"I had tied a note to it," {he} remembered, "with my name and our street!"',
                '"Where does it go?" asked {hero}. "To someone who needs it," said {parent}.',
            ),
            (
                "And where did it go? It came down {land}. {Then}.",
                "Many days later, news came at last. It had come down {land}. {Then}.",
                "In the end it came down {land}. {Then}.",
            ),
            (
                "{Hero} laughed and told the story to everyone.",
                "So nothing had been lost at all.",
                "Now, when {hero} sees a balloon in the sky, {he} waves to it.",
                "<happy>",
            ),
            maybe(
                "<watch>",
            ),
        ),
    ),
    Plot(
        "cloud pictures",
        pair=True,
        beats=(
            "<pair> <one day> they lay in the grass and looked up at a cloud. The cloud was"
            " fluffy.",
            (
                '"I see {a see}," said {hero}. "No," said {friend}, "it is {a see2}."',
                '"Look, {a see}!" cried {friend}. "I think it is {a see2}," said {hero}.',
            ),
            "<watch>",
            PARAGRAPH,
            maybe(
                "They argued and pointed, and each of them was sure.",
                "They looked with one eye, and then with the other, and then upside down.",
                '"{Call2}, you need glasses," said {hero}. "You need two pairs," said {friend}.',
            ),
            (
                'They asked {elder} to decide.{fact elder} "I see {a see3}," said {elder}.',
                '{Parent} came by with {drink}. "I see {a see3}," said {parent}.',
            ),
            PARAGRAPH,
            (
                "Then the wind blew, and the cloud turned into something else. It was {a see2}"
                " after all, then {a see}, and then nothing.",
                "While they were talking, it had drifted on and changed. Now nobody could tell.",
            ),
            (
                '"We were both right," said {hero}. "We only looked at different times," said'
                " {friend}.",
                "They laughed, and picked another one. There was enough sky for the two of them.",
                '"The next one is {a see}," said {hero}, before it had even come.',
                "In the end they agreed that it had been lunch time for a while.",
            ),
            (
                "",
                "<home again>",
                "That night both of them dreamed of {dream}.",
                "",
                "",
                "",
            ),
        ),
    ),
)

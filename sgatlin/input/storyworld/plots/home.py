# SPDX-License-Identifier: Apache-2.0
"""Plots about home and family: mishaps, the truth, cooking, growing things, going to sleep."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

PLOTS = (
    Plot(
        "a small lie",
        world="town",
        choices=(
            {"broken": "vase", "act": "{He} bumped into the shelf", "crash": "it fell and broke"},
            {
                "broken": "mirror",
                "act": "{He} danced in front of it",
                "crash": "it fell and cracked",
            },
            {"broken": "clock", "act": "{He} turned the little wheels", "crash": "it stopped"},
            {
                "broken": "teapot",
                "act": "{He} danced too close to the table",
                "crash": "it lost its spout",
            },
            {
                "broken": "lamp",
                "act": "{He} played pirates in the hall",
                "crash": "it fell over with a bang",
            },
            {
                "broken": "picture",
                "act": "{He} threw a cushion at it",
                "crash": "the frame cracked",
            },
            {"broken": "chair", "act": "{He} rocked back and forth", "crash": "a leg broke off"},
            {
                "broken": "plate",
                "act": "{He} spun it on a finger",
                "crash": "it broke into {number} pieces",
            },
        ),
        beats=(
            (
                "<brief> <one day> {he} was alone with the {colour} {broken}.{fact broken} {Act},"
                " and {crash}.",
                "There was {a colour} {broken} that {parent} loved very much.{fact broken} <one"
                " day> {hero} was alone with it. {Act}, and {crash}.",
            ),
            maybe(
                "{Hero} looked around. Nobody had seen it.",
                "For a moment it was very quiet.",
                "{Hero} did not dare to move.",
                "{Hero} hid the pieces behind the curtain.",
            ),
            PARAGRAPH,
            (
                '"Who did this?" asked {parent} that evening. "It was {culprit}," said {hero}'
                " quickly.",
                '"What happened to the {broken}?" asked {parent}. "It was the wind," said {hero}.',
                '"Oh no, my {broken}!" said {parent}. "It was {culprit}," said {hero} and pointed.',
            ),
            maybe(
                "{Parent} only nodded. But the lie sat in {his} tummy like a stone.",
                "At supper {he} could not eat, and in bed {he} could not sleep.",
                "The lie was small, but it grew and grew until there was no room for anything"
                " else.",
                "After that, even {his} favorite game was no fun.",
            ),
            "<home>",
            PARAGRAPH,
            (
                '"It was me," {he} said at last. "I broke it, and then I told a lie."',
                'In the middle of the night {he} stood in front of {parent}. "I did it, and I am'
                ' so sorry," {he} whispered.',
            ),
            (
                '"I am {sad} about the {broken}," said {parent}, "but I am {happy} that you told'
                ' the truth."',
                '"I know," said {parent}. "I waited for you to tell me."',
                '"A thing can be mended," said {parent}, "and so can a lie. You have just done'
                ' it."',
            ),
            (
                "Together they mended the {broken} with glue. It looked a little odd now, and"
                " {hero} liked it even more.",
                "The stone in {his} tummy had gone. <night>",
                "The next day {he} gave {his} own money for a new one. It felt much better than"
                " the lie.",
                "And {culprit} got a big hug that evening and did not know why.",
            ),
        ),
    ),
    Plot(
        "new baby",
        world="town",
        choices=(
            {"trick": "shook a box of buttons", "like": "rain on a roof"},
            {"trick": "sang {a tune} about {fruits}", "like": "a song"},
            {"trick": "put {a colour} sock on {his} ear", "like": "the best joke in the world"},
            {"trick": "barked like a puppy", "like": "a game"},
            {"trick": "hid behind the curtain and peeked out", "like": "magic"},
            {"trick": "blew on its little belly", "like": "a whoopee cushion"},
            {"trick": "danced with a broom", "like": "a circus"},
        ),
        beats=(
            (
                "{Hero} had waited for months, and now the baby had come home at last.",
                "<brief> Then one day there was a new baby in the house.",
            ),
            maybe(
                "But it only slept and cried, and then it slept again.",
                "But it could not play, and it could not even talk.",
                "It had no teeth and no hair, and it smelled of milk.",
            ),
            "<pets>",
            PARAGRAPH,
            (
                "Everyone brought presents for the baby, and nobody looked at {hero}.",
                '"Not now, {dear}," said {parent} all day long. "The baby is asleep."',
                "{Hero} built the highest tower ever. But {parent} only had eyes for the baby and"
                " did not see it.",
            ),
            (
                "{Hero} felt {sad} and {cross}, and jealous too. <home>",
                '"Can we give it back?" {he} asked.',
                "So {hero} moved under the table with {his} pillow. The pillow was soft.",
            ),
            (
                '{Parent} sat down next to {him}. "You were just as small once," said {parent}.'
                ' "My heart did not get split in two. It got bigger."',
                '"It needs somebody to show it the world," said {parent}. "I cannot do that'
                ' alone."',
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            (
                "One {weekday} the baby cried and cried, and nobody could calm it.",
                "One {weekday} [morning|afternoon] the baby screamed so loudly that the"
                " windows shook.",
                "Then, one {fine} {time}, the baby would not stop crying.",
            ),
            (
                "{Hero} {trick}. The baby stopped and stared. To the baby it was {like}!",
                "Then {hero} {trick}. The baby looked at {him}, surprised, and then it laughed for"
                " the very first time.",
            ),
            (
                "It took hold of {his} finger and would not let go. {Hero} did not mind at all.",
                '"You are the only one who can do that," said {parent}.',
                '"I think we can keep it," said {hero}.',
                "From that day on, {hero} had the best job in the house.",
            ),
        ),
    ),
    Plot(
        "in the kitchen",
        choices=(
            {
                "dish": "soup",
                "needs": "salt",
                "twist": "{hero} took the sugar by mistake",
                "save": "Now it was a pudding, they said",
            },
            {
                "dish": "a cake",
                "needs": "flour",
                "twist": "the bag burst, and it snowed in the kitchen",
                "save": "There was just enough left for a small one",
            },
            {
                "dish": "pancakes",
                "needs": "eggs",
                "twist": "{hero} threw one so high that it stuck to the ceiling",
                "save": "They waited with a plate until it came down",
            },
            {
                "dish": "jam",
                "needs": "{fruits}",
                "twist": "{hero} ate most of them before they got into the pot",
                "save": "There was one jar, and it was a very small one",
            },
            {
                "dish": "a pie",
                "needs": "apples",
                "twist": "{hero} forgot it in the oven",
                "save": "Under the black crust it was golden and good",
            },
            {
                "dish": "dumplings",
                "needs": "dough",
                "twist": "they came out in the shape of shoes",
                "save": "They called them shoe dumplings, and everybody wanted more",
            },
            {
                "dish": "stew",
                "needs": "beans",
                "twist": "the lid flew off, and beans rained down",
                "save": "They picked up the beans and counted each one",
            },
            {
                "dish": "cookies",
                "needs": "butter",
                "twist": "they all ran together on the tray",
                "save": "It was one giant cookie, and they cut it with a saw",
            },
        ),
        beats=(
            (
                "<brief> <one day> {he} wanted to make {dish} for {gran}.",
                "Once there was {intro} who wanted to be a cook. So {parent} let {him} make"
                " {dish}.",
                "On a rainy day, {intro} wanted to make {dish}.{fact hero}",
            ),
            "{Hero} tied on {a colour} apron, rolled up {his} sleeves, and got {needs}.",
            (
                "<kitchen>",
                "<kitchen> <kitchen>",
                "<kitchen>",
            ),
            PARAGRAPH,
            maybe(
                "Everything went well, and {hero} hummed {a tune}.",
                "{Parent} held the bowl, and {hero} stirred until {his} arms were tired.",
            ),
            (
                "But then {twist}.",
                "But all of a sudden, {twist}.",
                "{Parent} looked away for one moment, and {twist}.",
            ),
            (
                '"Oh no!" cried {hero}. "Everything is ruined!"',
                "They looked at each other. There was flour on every nose.",
                '{Hero} wanted to cry, but {parent} began to laugh. "Good cooks make big'
                ' mistakes," said {parent}.',
            ),
            PARAGRAPH,
            (
                "They did not give up. {Save}.",
                '"Wait, we can save it," said {parent}. {Save}.',
            ),
            (
                'When {gran} came and took a bite, {hero} held {his} breath. "May I have some'
                ' more?" asked {gran}.',
                '"This is the best I have ever had," said {gran}. "What is the secret?" {Hero} and'
                " {parent} only giggled.",
                "In the evening they all sat around the table, and nothing was left for breakfast.",
            ),
            (
                "",
                "From then on they made it that way on purpose.",
                "Then {hero} licked the bowl.",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "up in the attic",
        world="town",
        choices=(
            {"old": "a music box", "story": "It had played when {gran} danced for the first time"},
            {"old": "a wooden horse", "story": "{Gran} had ridden it to the moon and back"},
            {"old": "a captain's hat", "story": "{Gran} had worn it at sea"},
            {
                "old": "a photo of a child with a goat",
                "story": "The child was {gran}, and the goat had eaten the other shoe",
            },
            {"old": "a pair of roller skates", "story": "{Gran} had won a medal with them"},
            {"old": "a bundle of letters", "story": "They came from a friend across the ocean"},
            {"old": "a doll's tea set", "story": "{Gran} had served tea to ants with it"},
            {
                "old": "{a colour} kite",
                "story": "It had once carried a message to the next village",
            },
        ),
        beats=(
            (
                "It rained and rained, and {hero} did not know what to do. <home>",
                "<brief> On a rainy day {he} visited {gran} and got bored.",
                "On a rainy Sunday, {hero} stayed with {gran}. <home>",
            ),
            (
                '"Why do you not look in the attic?" asked {gran}.',
                "So {he} climbed up to the attic, where nobody ever went.",
            ),
            PARAGRAPH,
            (
                "There were boxes up to the roof, and everything wore a coat of dust.",
                "The floor creaked, and cobwebs hung from the beams. {Hero} sneezed {number}"
                " times.",
                "{Hero} found a broken umbrella, {number} hats, and {a music} full of dust.",
            ),
            "<attic>",
            (
                "Something moved in the corner! But it was only a mirror.",
                "Behind a trunk something shone.",
                "In the last {box}, under a sheet, {he} found something.",
            ),
            "{He} wiped off the dust. It was {old}.",
            PARAGRAPH,
            (
                '"Where did you find that?" asked {gran} with shining eyes.',
                '"I had forgotten all about it!" said {gran} and sat down.',
                "When {gran} saw it, {gran} laughed like a child.",
            ),
            "{Story}.",
            (
                '"Tell me more," said {hero}. And {gran} told one story after another until'
                " supper.",
                "{Hero} tried to see it all: {gran}, with freckles and scraped knees.",
                "They cleaned it together and put it on the shelf.",
            ),
            maybe(
                "The rain had stopped long ago, but neither of them noticed.",
                '"May I keep it?" asked {hero}. "It has waited for you," said {gran}.',
                "<night>",
                "Now {hero} hopes for rain every Sunday.",
            ),
        ),
    ),
    Plot(
        "cannot sleep",
        choices=(
            {"try": "counted sheep, but the sheep wanted to play"},
            {"try": "counted backward from a hundred and got stuck at {number}"},
            {"try": "lay on the left side, and on the right side, and upside down"},
            {"try": "hummed a lullaby, but it turned into a march"},
            {"try": "pretended to be a log, but logs do not itch"},
            {"try": "closed one eye, but the other one stayed open"},
        ),
        beats=(
            (
                "It was late, but {intro} could not sleep.{fact hero}",
                "<brief> One night {he} could not fall asleep.",
                "The stars were out, and everyone slept but {intro}.{fact hero}",
            ),
            "{He} {try}.",
            maybe(
                "{Hero} turned over and sighed.",
                "The clock ticked, and the house creaked.",
                "<bed>",
            ),
            PARAGRAPH,
            (
                '"{Parent}?" {he} called. "I am thirsty." {Parent} brought {a cup} of water.',
                '"{Parent}, what do fish do at night?" {he} asked. "They dream of rain," said'
                " {parent}.",
                '"{Parent}, my toe is awake," said {hero}. {Parent} kissed the toe and told it'
                " good night.",
                '"{Parent}, there is a monster in the wall," {he} called. {Parent} knocked on the'
                ' wall and said, "Good night, monster."',
            ),
            (
                "But {he} was still awake. So {parent} sat down by the bed. <book> <book>",
                "It did not help. So {parent} told {him} a story. <book>",
                "Then {parent} took out a book. <book> <book>",
            ),
            PARAGRAPH,
            (
                "{His} eyes grew heavy, but {he} wanted to know how it ended.",
                "The words grew slower, and the voice grew softer.",
                "Then {parent} sang, very low, of a boat that sails across the night.",
            ),
            (
                '"And then?" asked {hero}. But there was no answer. {Parent} had fallen asleep in'
                " the chair! {Hero} smiled, and then {he} slept too.",
                "And before the story had ended, {hero} slept and dreamed of {dream}.",
                '"Sleep well, {dear}," whispered {parent}. But {hero} dreamed already of {dream}.',
                "When {parent} turned the last page, the only answer was a little snore.",
            ),
        ),
    ),
    Plot(
        "a seed",
        choices=(
            {
                "plant": "sunflower",
                "end": "It grew higher than the roof and turned its face to the sun",
            },
            {"plant": "pumpkin", "end": "It grew so big that they needed a cart to bring it home"},
            {"plant": "bean", "end": "It climbed up the wall and looked in at the window"},
            {"plant": "tomato plant", "end": "There were so many tomatoes that everybody got some"},
            {
                "plant": "apple tree",
                "end": "Years later, {he} sat in its shade with {his} own children",
            },
            {
                "plant": "strawberry plant",
                "end": "The first berry was no bigger than a bead, and it tasted like summer",
            },
            {"plant": "rose bush", "end": "One morning it had {number} {colour} roses"},
            {
                "plant": "melon",
                "end": "They ate it in August, and the juice ran down to their elbows",
            },
        ),
        beats=(
            "<brief> <one day> {elder} gave {him} a seed.{fact elder}",
            (
                '"What will it be?" asked {hero}. "Wait and see," said {elder}.',
                "It looked like nothing at all. But {hero} made a hole in the earth and put it in.",
            ),
            "<watch>",
            PARAGRAPH,
            (
                "{Hero} watered it every day, but nothing happened.",
                "{Hero} gave it water and sang it {a tune} each morning, but nothing came up.",
                "On the first day {he} looked {number} times, and on the second day even more"
                " often.",
            ),
            maybe(
                '"Maybe it is a stone," said {hero}.',
                '"Grow!" {he} shouted at the ground. The ground did not answer.',
                "{Hero} wanted to dig it up and look.",
            ),
            (
                "Then {he} saw a spider at its web. The spider was patient, and so {he} waited"
                " too.",
                "Rain fell, and a bee came by to look. The bee was busy and did not stay.",
                '"Good things take time," said {elder}, and {hero} sighed and fetched more water.',
                "So {he} waited, and while {he} waited {he} learned to [whistle|walk on a"
                " fence|count to a hundred].",
            ),
            PARAGRAPH,
            (
                'Then one morning there was a speck of green. "It is here!" shouted {hero}.',
                "And then, when {he} had almost forgotten it, two little leaves peeked out.",
            ),
            (
                "It was {a plant}! {End}.",
                "Day by day it grew into {a plant}. {End}.",
                "Now everyone could see that it was {a plant}. {End}.",
            ),
            maybe(
                '"How did you do that?" asked {his} {pal}. "I waited," said {hero}.',
                "{Hero} kept one seed and gave it to {his} {pal}.",
                "<happy>",
                "That is how {hero} learned to wait.",
            ),
        ),
    ),
    Plot(
        "mixing colors",
        world="town",
        choices=(
            {"one": "blue", "two": "yellow", "mix": "green", "thing": "a meadow with a frog"},
            {"one": "red", "two": "yellow", "mix": "orange", "thing": "a tiger in the sunset"},
            {"one": "red", "two": "blue", "mix": "purple", "thing": "a whale that ate plums"},
            {"one": "red", "two": "white", "mix": "pink", "thing": "a pig with a rose"},
            {"one": "black", "two": "white", "mix": "gray", "thing": "a big seal with a hat"},
            {"one": "red", "two": "green", "mix": "brown", "thing": "a horse in a field"},
        ),
        beats=(
            (
                "<brief> <one day> {he} wanted to paint {thing}.",
                "One {fine} {weekday} {hero} sat at the big table and wanted to paint {thing}.",
                "On {weekday} there was art at school, and {hero} wanted to paint {thing} for"
                " {parent}.",
            ),
            (
                "But there was no {mix} paint left.",
                "{He} looked for {mix}, but that pot stood empty.",
                "{He} needed {mix}, but somebody had used it all up.",
            ),
            "<pets>",
            PARAGRAPH,
            (
                '"Then I cannot paint it," said {hero}, and {he} felt {sad}.',
                '"Without {mix} it will look wrong," said {hero} and put down the brush.',
                "{Hero} grew {cross} and threw {his} brush across the room. Plop! It landed in the"
                " water.",
            ),
            (
                '"I only have {one} and {two}," said {his} {pal}, "but you can use mine."',
                "{Hero} dipped the brush in the {one} paint. Then {his} sleeve knocked over the"
                " {two}, and it all ran together.",
                '"There is some {one} and some {two}," said {elder} with a wink. "Just try."',
            ),
            PARAGRAPH,
            (
                'The {one} met the {two}, and they swirled around each other. "Look!" cried'
                ' {hero}. "It turns {mix}!"',
                "{He} stirred the {one} and the {two} together. And all at once, there it was."
                ' "{Mix}!" cried {hero}.',
            ),
            (
                "{Hero} painted until the paper had no white left.",
                "So {hero} painted {thing} after all. It looked better than {he} had hoped.",
            ),
            maybe(
                "After that, {he} mixed everything with everything. Most of it came out brown.",
                '"{One} and {two} are friends now," said {hero}. "And {mix} is what they say to'
                ' each other."',
                "The picture still hangs in the hall.",
                "{Parent} hung it over the sofa, where everyone could see it.",
            ),
        ),
    ),
    Plot(
        "borrowed",
        choices=(
            {
                "loan": "kite",
                "harm": "the string broke, and it flew into a hedge",
                "pay": "{He} patched it with {colour} paper",
            },
            {
                "loan": "book",
                "harm": "it fell into the bath",
                "pay": "{He} dried every page by the stove",
            },
            {
                "loan": "umbrella",
                "harm": "the wind turned it inside out",
                "pay": "{He} bent every rib back into shape",
            },
            {
                "loan": "boat",
                "harm": "it hit a rock and got a hole",
                "pay": "{He} closed the hole with wax",
            },
            {
                "loan": "whistle",
                "harm": "it slipped down a drain",
                "pay": "{He} carved a new one from a willow twig",
            },
            {
                "loan": "hat",
                "harm": "a goat ate the brim",
                "pay": "{He} sewed on a new brim with {flower} on it",
            },
            {
                "loan": "wagon",
                "harm": "a wheel came off",
                "pay": "{He} found a wheel and painted it {colour}",
            },
            {
                "loan": "lantern",
                "harm": "the glass cracked",
                "pay": "{He} swept the whole yard to earn a new glass",
            },
        ),
        beats=(
            "<pair> {Friend} had {a colour} {loan} that {he2} took great care of.",
            (
                '"May I borrow it?" asked {hero}. "Yes," said {friend}. "But please bring it back'
                ' tomorrow."',
                'One day {he2} let {hero} borrow it. "Be careful with it," said {friend}.',
            ),
            PARAGRAPH,
            (
                "{Hero} had a wonderful time. But then {harm}.",
                "It was fun until the evening, when {harm}.",
            ),
            maybe(
                '"What will {friend} say?" thought {hero}. {He} wanted to hide the {loan} and'
                " never come out again.",
                "The next day {hero} hid in {his} room, so as not to meet {friend}.",
                "{Hero} had a stomach full of butterflies, and not the nice kind.",
            ),
            "<home>",
            (
                '"Broken things get worse when you wait," said {parent}.',
                '"Would you want to know, if it were yours?" asked {parent}. {Hero} nodded.',
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            (
                'So {he} went to {friend} and told {him2} everything. "I am sorry," said {hero}.'
                ' "I will make it good."',
                '"I have something to tell you," said {hero}, and out it came, all of it.',
            ),
            (
                "{Friend} felt {sad}, but {he2} did not shout. {Pay}.",
                '"Thank you for telling me," said {friend} after a while. {Pay}.',
            ),
            (
                '"Now I like it even better," said {friend}.',
                'The next week {friend} asked, "Do you want to borrow it again?"',
                "A thing can break, but it takes more than that to break a friendship.",
                "And the two of them stayed friends.",
            ),
        ),
    ),
    Plot(
        "the messy room",
        world="town",
        choices=(
            {"missing": "{his} other shoe", "found": "a sandwich from last week"},
            {"missing": "{his} swimsuit", "found": "{number} spoons"},
            {
                "missing": "the ticket to the circus",
                "found": "a fork, a duster and a fish made of tin",
            },
            {"missing": "{his} {colour} {wear}", "found": "a sleeping hamster"},
            {"missing": "the book from the library", "found": "a lost tooth"},
            {"missing": "{his} {colour} mittens", "found": "{parent}'s phone"},
            {"missing": "the invitation to the party", "found": "the good scissors"},
        ),
        beats=(
            (
                "{Hero}'s room looked as if a storm had gone through it.",
                "<brief> {His} room was the messiest room in the whole town.",
                "{Hero} never put anything away, and toys, socks and crayons covered the floor.",
            ),
            maybe(
                '"Please tidy up, {dear}," said {parent}. "Later," said {hero}.',
                '"I know where everything is," {he} always said.',
                '"There must be a floor under here somewhere," said {parent}.',
            ),
            "<home>",
            PARAGRAPH,
            (
                "<one day> {he} needed {missing}, and {he} was in a hurry.",
                "<one day> {he} could not find {missing}.",
            ),
            (
                "{He} looked under the bed, but there was no room to look. {He} stepped on a"
                ' block. "Ouch!"',
                "{He} dug like a mole, and things flew through the air.",
                "{He} pulled at a sleeve, and a whole heap of clothes came down on {him}.",
            ),
            "<pets>",
            PARAGRAPH,
            (
                '"I give up!" cried {hero}. "No," said {parent}. "We begin at the door."',
                "{Hero} sat down in the mess. There was only one thing left to do.",
                'Then {his} {pal} came in. "I will help you," said {friend}. "You take the socks,'
                ' and I take the toys."',
            ),
            "Books went on the shelf and blocks went in the {box}. First there appeared {found}.",
            "And at the very bottom lay {missing}.",
            (
                '"So that is what color the floor has," said {parent}.',
                "Now there was even room to dance, so {he} danced.",
                "{Hero} was late, but from then on {he} tidied up once a week, or almost.",
                "That night {hero} could walk to bed without a single ouch.",
            ),
        ),
    ),
)
